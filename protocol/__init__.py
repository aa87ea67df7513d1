"""LRWP/3 without I/O: frames, messages, the state of a link, header rules, limits.

Nothing here opens a socket or reads a clock. Bytes go in and messages come out, or the other way round;
the dispatcher and the worker each put a thin shell of I/O around it. ``PROTOCOL.md`` beside this file is the
contract for workers in other languages.
"""
