"""Chaos: constant load on a real system, one fault after another, and a ledger that shows what was kept.

::

    make chaos                              # everything, with a soak of ten minutes
    make chaos ARGS=--short                 # what CI runs
    make chaos ARGS="--short kill-begun"    # one fault

Each request has an id of its own. What its client saw is held against how often a handler began it, which is
in a journal, and how often its row was written, which is in the database.
"""
