"""``lrwp load``: an asynchronous client that measures what a server can do.

::

    flags ─▶ foreground ─▶ run ─▶ channel ─▶ answers     bytes in, answers out: no I/O
                 │          │        └─────▶ tally       what came of the requests: no I/O
                 │          ├─▶ pacing                   when a request is due: no I/O, time is an argument
                 │          └─▶ alarm                    wakes the run when one is due
                 └─▶ matches, progress, report           what people and programs see

The client often shares a machine with the servers that it measures, and what it uses is taken from them. In
a closed loop over 64 connections a request cost 8.5 µs of CPU, four fifths of it in the kernel's read, write
and epoll.
"""

from lrwp.load.flags import command

__all__ = ["command"]
