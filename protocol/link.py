"""The state of a link, and what its two ends have in common, without I/O.

A link goes through these states; :data:`TRANSITIONS` says which message is legal in which, and where it
leads. Everything else is a protocol error, and the link is dropped::

    new ──register──▶ asked ──────────registered──────────▶ serving ──draining──▶ draining
                        │                                      ▲
                        └─challenge──▶ challenged              │ registered
                                           └──register──▶ proved

Every state leads to *lost* as well: by ``rejected`` from asked and proved, and from serving and draining when
another link takes this one's place; by the connection's end from any.

A serving link is *idle* when it holds no exchange and *busy* when it holds one or more. The laws of what it
holds:

* an exchange's id is one more than the last one's and is never used again on the link;
* a link never holds more exchanges than the window that its worker asked for;
* each request is settled exactly once: by ``refused``, or by ``response`` and ``body`` up to ``last``;
* a cancelled exchange is settled like any other, but what comes for it is discarded by its id;
* the body of a request stops where the exchange is cancelled or settled.

The ends stand in :mod:`protocol.dispatcher_end` and :mod:`protocol.worker_end`. They read bytes and call the
methods of their *hand*; for sending, they return the bytes of a frame. A rule broken by the peer raises
RemoteProtocolError and leaves the link lost; messages that still come on a lost link are not acted on. A rule
broken by ourselves raises LocalProtocolError and changes nothing. A hand may use its end while it is called,
even to receive what comes next.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from protocol import messages as m
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.frames import FrameReader, encode_frame


class State(Enum):
    """Where a link stands between its connection and its end."""

    NEW = "new"
    ASKED = "asked"
    CHALLENGED = "challenged"
    PROVED = "proved"
    SERVING = "serving"
    DRAINING = "draining"
    LOST = "lost"


TRANSITIONS: Final[dict[State, dict[int, State]]] = {
    State.NEW: {m.REGISTER: State.ASKED},
    State.ASKED: {m.CHALLENGE: State.CHALLENGED, m.REGISTERED: State.SERVING, m.REJECTED: State.LOST},
    State.CHALLENGED: {m.REGISTER: State.PROVED},
    State.PROVED: {m.REGISTERED: State.SERVING, m.REJECTED: State.LOST},
    State.SERVING: {
        m.REQUEST: State.SERVING,
        m.RESPONSE: State.SERVING,
        m.BODY: State.SERVING,
        m.REFUSED: State.SERVING,
        m.CANCEL: State.SERVING,
        m.PING: State.SERVING,
        m.PONG: State.SERVING,
        m.DRAIN: State.SERVING,
        m.DRAINING: State.DRAINING,
        m.REJECTED: State.LOST,
    },
    # A request may have crossed the worker's `draining` on the wire: the worker refuses it, unbegun.
    State.DRAINING: {
        m.REQUEST: State.DRAINING,
        m.RESPONSE: State.DRAINING,
        m.BODY: State.DRAINING,
        m.REFUSED: State.DRAINING,
        m.CANCEL: State.DRAINING,
        m.PING: State.DRAINING,
        m.PONG: State.DRAINING,
        m.DRAIN: State.DRAINING,
        m.REJECTED: State.LOST,
    },
    State.LOST: {},
}
"""Which message is legal in which state, and the state that follows it."""

# What may arrive in each state, from either side, and the state that follows it.
_ARRIVALS: Final = {
    sender: {
        state: {
            number: following
            for number, following in row.items()
            if m.SCHEMA[number].side in {sender, m.Side.BOTH}
        }
        for state, row in TRANSITIONS.items()
    }
    for sender in (m.Side.WORKER, m.Side.DISPATCHER)
}


class End:
    """What both ends of a link have: a state, and a reader of frames."""

    __slots__ = ("_arriving", "_last_id", "_legal", "_peer", "_reader", "state")

    def __init__(self, peer: m.Side) -> None:
        self._peer = peer
        self._reader = FrameReader()
        self._last_id = 0
        self._enter(State.NEW)

    def _enter(self, state: State) -> None:
        self.state = state
        self._legal = TRANSITIONS[state]
        self._arriving = _ARRIVALS[self._peer][state]

    def _send(self, *message: Any) -> bytes:
        state = self._legal.get(message[0])
        if state is None:
            raise LocalProtocolError(_complaint(message[0], self.state))
        frame = encode_frame(message)
        if state is not self.state:
            self._enter(state)
        return frame

    def _receive(self, message: tuple[Any, ...]) -> int:
        """Return the type of a message that the peer may send now."""
        number = m.check_message(message)
        state = self._arriving.get(number)
        if state is None:
            if m.SCHEMA[number].side not in {self._peer, m.Side.BOTH}:
                raise RemoteProtocolError(f"{m.SCHEMA[number].name} came from the wrong side")
            raise RemoteProtocolError(_complaint(number, self.state))
        if state is not self.state:
            self._enter(state)
        return number

    def lose(self) -> None:
        """Note that the connection is gone: nothing is legal any more; what it held is still to settle."""
        self._enter(State.LOST)


def _complaint(number: int, state: State) -> str:
    return f"{m.SCHEMA[number].name} is not legal while the link is {state.value}"
