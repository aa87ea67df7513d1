"""The links of one thread, one to each dispatcher: dialled, listened to, given up, dialled again."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from protocol.errors import LrwpError, RejectedError
from worker.backoff import Backoff
from worker.dialling import Dialling, DistrustError
from worker.link import ENDED, Link, LinkLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from protocol.addresses import Address
    from worker.tls import TlsSocket, Trust

log = structlog.get_logger()

MISSED: Final = 3
"""Heartbeats without a word from an idle dispatcher after which we dial it anew."""

PATIENCE: Final = 5.0
"""Seconds for which a worker that was never registered tries to reach its dispatchers before it gives up."""

CONNECT_TIME: Final = 5.0
"""Seconds that a host has to accept a connection."""

REGISTRATION_TIME: Final = 10.0
"""Seconds that a dispatcher has to accept or to reject a worker."""

FAREWELL: Final = 1.0
"""Seconds for which a worker that leaves waits for a dispatcher that has not accepted it yet: it may have,
and may have handed a request over that would be lost if we hung up."""

NEVER: Final = float("inf")


class UnreachableError(LrwpError):
    """No dispatcher could be reached when the worker started."""


class Dispatcher:
    """One dispatcher that a thread serves.

    Attributes:
        address: where it listens.
        dialling: the connection that is being made to it, if one is.
        link: the link to it, if there is one.
        backoff: what it has seen of failures.
        due: when something is to be done about it though nothing has come from it: to dial it, or to give up
            what has been silent for too long.
        complaint: why we do not trust it, or it us, since it has last accepted us; "" if nothing is wrong.
        is_leaving: whether it makes room for another one at its address.
    """

    __slots__ = ("address", "backoff", "complaint", "dialling", "due", "is_leaving", "link")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.dialling: Dialling | None = None
        self.link: Link | None = None
        self.backoff = Backoff(first=0.1, longest=5.0)
        self.due = 0.0
        self.complaint = ""
        self.is_leaving = False

    def __repr__(self) -> str:
        return f"<Dispatcher {self.address} {self.link or self.dialling}>"

    def hear(self, now: float) -> None:
        """Note that it lives."""
        if self.link is not None and self.link.is_registered:
            self.due = now + MISSED * self.link.heartbeat


class Links:
    """The links of one thread.

    Args:
        addresses: the dispatchers to serve.
        connect: makes a link of a connected socket.
        on_registered: called when the first dispatcher has accepted us.
        on_lost: called with each link that is given up.
        patience: seconds after which we give up if no dispatcher has ever accepted us.
        trust: whom to trust where we dial over TLS.
    """

    def __init__(
        self,
        addresses: Iterable[Address],
        connect: Callable[[socket.socket | TlsSocket], Link],
        on_registered: Callable[[], None],
        on_lost: Callable[[Link], None],
        patience: float,
        trust: Trust | None = None,
    ) -> None:
        # One that is named twice would fence our first link with our second, again and again.
        self._dispatchers = [Dispatcher(address) for address in dict.fromkeys(addresses)]
        self._connect = connect
        self._on_registered = on_registered
        self._on_lost = on_lost
        self._patience = patience
        self._trust = trust
        self._was_registered = False
        self._is_leaving = False
        self._poll = select.poll()
        self._by_file: dict[int, Dispatcher] = {}
        self._waker, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        self._poll.register(self._alarm, select.POLLIN)
        self._ready: list[Dispatcher] = []
        self._now = time.monotonic()
        self._give_up_at = NEVER

    @property
    def patience(self) -> float:
        """The longest that a dispatcher waits for a word about a request, in seconds; 0 if none says so."""
        links = [dispatcher.link for dispatcher in self._dispatchers]
        return max(link.patience if link else 0.0 for link in links)

    def wake(self) -> None:
        """Have :meth:`wait` return soon. Any thread may call it, and a signal's handler."""
        with suppress(OSError):  # nobody waits any more
            self._waker.send(b"!")

    def wait(self, *, at_once: bool = False) -> None:
        """Wait until something has come over a link, and take it in; dial those whose turn it is.

        Args:
            at_once: whether to take in what has come already, and not to wait.

        Raises:
            UnreachableError: no dispatcher has ever accepted us, and our patience is at its end.
            RejectedError: a dispatcher does not want us, and none has ever wanted us; or others have taken
                our place at all of them.
        """
        if self._give_up_at == NEVER:
            self._give_up_at = self._now + self._patience
        due = min([dispatcher.due for dispatcher in self._dispatchers])
        if at_once:
            patience: float | None = 0.0
        else:
            patience = None if due == NEVER else max(0.0, (due - self._now) * 1000 + 1)
        ready = self._poll.poll(patience)
        self._now = now = time.monotonic()
        self._ready.clear()
        for file, events in ready:
            dispatcher = self._by_file.get(file)
            if dispatcher is None:
                self._clear_alarm()
            elif dispatcher.dialling is not None:
                self._dial_on(dispatcher, dispatcher.dialling.finish)
            elif dispatcher.link is not None:
                self._ready.append(dispatcher)
                self._read(dispatcher, dispatcher.link)
                # A dispatcher that closes a link has settled all that the link held: what a worker that was
                # stopped for a while finds in its socket nobody waits for, and it must not be begun.
                if events & ENDED and dispatcher.link is not None:
                    self._lose(dispatcher, "the dispatcher has closed the link")
        if now >= due:
            for dispatcher in self._dispatchers:
                if dispatcher.due <= now:
                    self._on_due(dispatcher)

    def resume(self) -> None:
        """Note that what :meth:`wait` has taken in is done.

        A dispatcher does not ping a worker that it knows to be busy: its silence counts from now.
        """
        self._now = now = time.monotonic()
        for dispatcher in self._ready:
            dispatcher.hear(now)

    def take_leave(self) -> bool:
        """Tell all dispatchers that we take nothing new; returns whether one still has a link to us."""
        if not self._is_leaving:
            self._is_leaving = True
            self._give_up_at = time.monotonic() + FAREWELL
        for dispatcher in self._dispatchers:
            link = dispatcher.link
            if link is None:
                self._hang_up(dispatcher)
            elif not link.is_registered:
                dispatcher.due = min(dispatcher.due, self._give_up_at)
            else:
                try:
                    link.drain()
                except LinkLostError as error:
                    self._lose(dispatcher, str(error))
        return any(dispatcher.link is not None for dispatcher in self._dispatchers)

    def lose(self, link: Link, reason: str) -> None:
        """Give up a link, and dial its dispatcher anew.

        Raises:
            RejectedError: others have taken our place at all dispatchers.
        """
        for dispatcher in self._dispatchers:
            if dispatcher.link is link:
                self._lose(dispatcher, reason)

    def close(self) -> None:
        """End all connections."""
        for dispatcher in self._dispatchers:
            self._hang_up(dispatcher)
        self._waker.close()
        self._alarm.close()

    # ── Links come ───────────────────────────────────────────────────────────────────────────────

    def _on_due(self, dispatcher: Dispatcher) -> None:
        if dispatcher.link is not None:
            self._lose(dispatcher, "the dispatcher has been silent for too long")
        elif dispatcher.dialling is not None:
            self._dial_on(dispatcher, dispatcher.dialling.skip)
        else:
            self._dial(dispatcher)

    def _dial(self, dispatcher: Dispatcher) -> None:
        try:
            dispatcher.dialling = Dialling(dispatcher.address, self._trust)
        except OSError as error:
            self._miss(dispatcher, error.strerror or str(error))
        else:
            self._watch_dialling(dispatcher, dispatcher.dialling)
            dispatcher.due = self._now + CONNECT_TIME

    def _watch_dialling(self, dispatcher: Dispatcher, dialling: Dialling) -> None:
        self._by_file[dialling.fileno()] = dispatcher
        self._poll.register(dialling, dialling.events)

    def _dial_on(self, dispatcher: Dispatcher, step: Callable[[], socket.socket | TlsSocket | None]) -> None:
        """Take a step in dialling; it leads to a link, to another address, or nowhere."""
        dialling = dispatcher.dialling
        assert dialling is not None  # noqa: S101 - the callers have looked
        self._unwatch(dialling)
        attempts = dialling.attempts
        try:
            sock = step()
        except OSError as error:
            dispatcher.dialling = None
            self._miss(dispatcher, error.strerror or str(error), isinstance(error, DistrustError))
            return
        if sock is None:
            self._watch_dialling(dispatcher, dialling)
            if dialling.attempts > attempts:  # each address has its time, and a handshake no more than that
                dispatcher.due = self._now + CONNECT_TIME
            return
        dispatcher.dialling = None
        try:
            dispatcher.link = self._connect(sock)
        except LinkLostError as error:
            sock.close()
            self._miss(dispatcher, str(error))
            return
        dispatcher.link.on_left = partial(self._on_left, dispatcher)
        self._by_file[sock.fileno()] = dispatcher
        self._poll.register(sock, select.POLLIN | ENDED)
        dispatcher.due = self._now + REGISTRATION_TIME

    def _miss(self, dispatcher: Dispatcher, reason: str, is_distrust: bool = False) -> None:
        """Dial a dispatcher again later, or give up."""
        if self._is_leaving:
            dispatcher.due = NEVER
            return
        if is_distrust and reason != dispatcher.complaint:  # which does not pass as a restart of it does
            dispatcher.complaint = reason
            log.warning("no trust", dispatcher=str(dispatcher.address), reason=reason)
        dispatcher.due = self._now + dispatcher.backoff.next()
        if self._was_registered:
            return
        if self._now >= self._give_up_at:
            sentence = f"cannot register with the dispatcher at {dispatcher.address}: {reason}"
            if not is_distrust:
                sentence += "; start it with `lrwp dispatcher`, or name another with --dispatcher"
            raise UnreachableError(sentence)
        dispatcher.due = min(dispatcher.due, self._give_up_at)

    # ── Links speak, and go ──────────────────────────────────────────────────────────────────────

    def _read(self, dispatcher: Dispatcher, link: Link) -> None:
        was_registered = link.is_registered
        try:
            link.look()  # poll() said that something is there; of TLS it may be nothing that is for us
        except LinkLostError as error:
            self._lose(dispatcher, str(error), isinstance(error.__context__, DistrustError))
            return
        except RejectedError as error:
            if not self._was_registered and error.code != "draining":
                raise
            self._lose(dispatcher, f"the dispatcher rejected us: {error}")
            return
        dispatcher.hear(self._now)
        if link.is_registered and not was_registered:
            log.info("registered", dispatcher=str(dispatcher.address))
            dispatcher.backoff.reset()
            dispatcher.complaint = ""
            if not self._was_registered:
                self._was_registered = True
                self._on_registered()

    def _on_left(self, dispatcher: Dispatcher) -> None:
        """Dial a dispatcher's successor at once, and serve both: requests may still come from either."""
        if dispatcher.is_leaving or self._is_leaving:
            return
        dispatcher.is_leaving = True
        log.info("dispatcher leaves", dispatcher=str(dispatcher.address))
        # Other threads look at the list.
        self._dispatchers = [*self._dispatchers, Dispatcher(dispatcher.address)]

    def _lose(self, dispatcher: Dispatcher, reason: str, is_distrust: bool = False) -> None:
        link = dispatcher.link
        assert link is not None  # noqa: S101 - the callers have looked
        self._hang_up(dispatcher)
        if dispatcher.is_leaving:
            self._dispatchers = [each for each in self._dispatchers if each is not dispatcher]
            return
        if link.is_fenced:
            self._give_up(dispatcher, reason)
            return
        if not self._is_leaving and (link.is_registered or self._was_registered):
            log.warning("link lost", dispatcher=str(dispatcher.address), reason=reason)
        self._miss(dispatcher, reason, is_distrust)

    def _give_up(self, dispatcher: Dispatcher, reason: str) -> None:
        """Leave a dispatcher to the link that has taken our place: we would fence each other for ever.

        It may be our own, if two addresses lead to one dispatcher.
        """
        log.warning("link given up", dispatcher=str(dispatcher.address), reason=reason)
        if not self._is_leaving and all(each.due == NEVER for each in self._dispatchers):
            raise RejectedError("fenced", reason)

    def _hang_up(self, dispatcher: Dispatcher) -> None:
        """End whatever connection there is to a dispatcher."""
        dispatcher.due = NEVER
        if dispatcher.dialling is not None:
            self._unwatch(dispatcher.dialling)
            dispatcher.dialling.close()
            dispatcher.dialling = None
        if dispatcher.link is not None:
            link, dispatcher.link = dispatcher.link, None
            self._unwatch(link)
            link.close()
            self._on_lost(link)

    def _unwatch(self, connection: Link | Dialling) -> None:
        del self._by_file[connection.fileno()]
        self._poll.unregister(connection)

    def _clear_alarm(self) -> None:
        with suppress(BlockingIOError):
            self._alarm.recv(64)
