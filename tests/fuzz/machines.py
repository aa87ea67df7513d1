"""The state machines of the other tests, to be played for longer than a test can take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.dispatcher.test_broker_laws import BrokerMachine
from tests.protocol.test_link_laws import TwoEnds

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

MACHINES: Final[dict[str, type[RuleBasedStateMachine]]] = {"broker-laws": BrokerMachine, "link-laws": TwoEnds}
"""The machines by the names that the command line knows them by."""

PLAYS: Final = 20
"""Plays between two looks at the clock."""

PLAY: Final = settings(
    max_examples=PLAYS,
    stateful_step_count=80,
    deadline=None,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
)


def play(name: str, seconds: float) -> int:
    """Play for so long; returns how many plays there were.

    Raises:
        Exception: a law was broken; Hypothesis has printed how, and ``make test`` begins with it from now on.
    """
    end = time.monotonic() + seconds
    plays = 0
    while time.monotonic() < end:
        run_state_machine_as_test(MACHINES[name], settings=PLAY)
        plays += PLAYS
    return plays
