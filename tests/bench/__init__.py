"""The comparison benchmark: LRWP beside other WSGI servers, one application, one machine, one run.

``python -m tests.bench`` starts each server in turn, loads it with wrk, counts the CPU time of all its
processes, and writes ``docs/bench.md`` and ``docs/bench.svg``. ``--quick --only lrwp,granian`` is for a look
while working.
"""
