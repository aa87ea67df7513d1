"""Bytes that nobody meant: whatever reads what strangers send is given what it does not expect.

Each module of :mod:`tests.fuzz.targets` is about one thing that is read. It says how that is read, which
errors may come of it, what it may cost, and which laws hold besides. The rule for all: an input is accepted,
or is refused with the documented error; nothing else happens, and neither memory nor time grows faster than
the input.

``make fuzz`` looks for inputs that break it. Those found are kept in ``tests/fuzz/corpus/TARGET/``, where
``make test`` replays them, together with some hundred other inputs that are the same at each run.
"""
