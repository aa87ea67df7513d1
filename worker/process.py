"""A worker's process: load the target, register, serve in one or more threads, leave when told to.

The main thread only waits for signals, and sees to it that no other hangs; links are served by threads of
their own. So a second INT ends the process even while a handler hangs, and a signal never interrupts the
reading or writing of a frame.
"""

from __future__ import annotations

import faulthandler
import os
import secrets
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from protocol.errors import LrwpError, SettingsError
from protocol.registration import Claim, Registration, read_registration, read_secrets
from worker import development
from worker.child import LABEL, SIGNS_FD, STDERR, tell_promise, tell_ready, tell_wear
from worker.loading import load
from worker.pool import HUNG, RECYCLE
from worker.serving import Serving, plain_page, whereabouts
from worker.vigil import HungError, Vigil, traceback_of
from worker.wear import Wear
from worker.wsgi import wsgi_handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from worker.exchange import Handle
    from worker.settings import WorkerSettings
    from worker.tls import Trust

log = structlog.get_logger()

FORCED: Final = 1
"""Exit code after a second INT."""


def run(settings: WorkerSettings, label: str | None = None) -> int:
    """Run one worker process until it is told to stop or is finished; returns the exit code.

    Args:
        settings: what to run and where to register.
        label: what logs and tables call the process; its host and number if None.

    Raises:
        LrwpError: it cannot start.
    """
    if label is not None:
        os.environ[LABEL] = label
    faulthandler.enable(STDERR)
    if settings.reload:
        development.begin()
    target, default_name = load(settings.target, settings.kind)
    if settings.database:
        _use_database(settings, target)
    if settings.kind == "wsgi":
        handle: Handle = wsgi_handle(
            target,
            multithread=settings.threads > 1,
            multiprocess=True,  # others may serve the same name
        )
        return Process(settings, label, default_name, handle).run()
    return Process(
        settings, label, default_name, target.handle, target.start, target.stop, lambda: target.retired
    ).run()


class Process:
    """The threads of a worker, and what makes them stop."""

    def __init__(
        self,
        settings: WorkerSettings,
        label: str | None,
        default_name: str,
        handle: Handle,
        start: Callable[[], None] = lambda: None,
        stop: Callable[[], None] = lambda: None,
        is_retired: Callable[[], bool] = lambda: False,
    ) -> None:
        self._start = start
        self._stop = stop
        self._is_retired = is_retired
        self._wear = Wear(settings)
        self._is_worn = False
        self._error: LrwpError | None = None
        self._recycled = False
        self._drain_timeout = settings.drain_timeout
        self._ends_at: float | None = None
        self._left: list[Serving] = []
        self._unregistered = settings.threads
        self._lock = threading.Lock()
        secret = _read_secret(settings)
        trust = _read_trust(settings)
        fault_page = plain_page
        if settings.reload:
            from worker.traceback_page import traceback_page  # noqa: PLC0415 - Jinja2 takes time to import

            fault_page = traceback_page
        self._servings = [
            Serving(
                handle,
                _registration(settings, label, default_name, number),
                settings.dispatcher,
                secret,
                trust=trust,
                is_finished=self._is_finished,
                on_registered=self._on_registered,
                fault_page=fault_page,
            )
            for number in range(settings.threads)
        ]
        signs = os.environ.pop(SIGNS_FD, None)
        self._parent = int(signs) if signs else None
        promise = partial(tell_promise, self._parent) if self._parent is not None else _promise_nobody
        self._vigil = Vigil(self._servings, promise)
        self._reported: list[Serving] = []
        self._alarm, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    def run(self) -> int:
        """Serve until all threads have left; returns the exit code.

        Raises:
            LrwpError: a thread could not go on, or had not finished in time.
        """
        threads = {
            serving: threading.Thread(
                target=self._serve, args=(serving,), name=f"serving-{number}", daemon=True
            )
            for number, serving in enumerate(self._servings, 1)
        }
        with self._woken_by_signals() as alarm:
            for thread in threads.values():
                thread.start()
            while not all(each in self._left or each in self._vigil.hung for each in self._servings):
                now = time.monotonic()
                pauses = [self._vigil.look(now), self._look_at_wear(now)]
                self._report_hung(threads)
                if self._ends_at is not None and now >= self._ends_at:
                    self._end_late()
                    break
                self._wait(alarm, now, [pause for pause in pauses if pause is not None])
        if self._vigil.hung:
            return HUNG
        if self._error is not None:
            raise self._error
        return RECYCLE if self._recycled else 0

    def _wait(self, alarm: socket.socket, now: float, pauses: list[float]) -> None:
        """Wait for a signal, or for a thread to leave, but not longer than somebody may still need."""
        if self._ends_at is not None:
            pauses.append(self._ends_at - now)
        alarm.settimeout(max(0.001, min(pauses)) if pauses else None)
        with suppress(TimeoutError):
            alarm.recv(64)

    def _end_late(self) -> None:
        """Give up on those that have not finished; where one hangs, that is why we leave, and was said."""
        if not self._vigil.hung:
            raise LrwpError(f"the worker had not finished after {self._drain_timeout:g} s and was ended")

    def _report_hung(self, threads: Mapping[Serving, threading.Thread]) -> None:
        """Say where a thread hangs, and have the others leave.

        They get as long for what they have in hand as in any other drain: it is others who wait for it, and
        the thread that hangs does no more harm meanwhile.
        """
        for serving in self._vigil.hung:
            if serving in self._reported:
                continue
            self._reported.append(serving)
            frame = sys._current_frames().get(threads[serving].ident or 0)
            where = whereabouts(serving.in_hand[2]) if serving.in_hand else {}
            try:
                raise HungError("the dispatcher has waited long enough").with_traceback(traceback_of(frame))
            except HungError:
                log.exception("request hangs", thread=threads[serving].name, **where)
            self._drain()

    @contextmanager
    def _woken_by_signals(self) -> Iterator[socket.socket]:
        """Handle signals, and yield a socket that can be read when one has come or a thread has left.

        Waiting for a thread itself will not do: of two signals that come at one moment, CPython 3.11 leaves
        one unhandled, and the wait for a lock sleeps on (35 of 100 times).
        """
        # What is ignored stays so: a terminal sends INT to the processes of a pool as well, and what it means
        # for them their parent decides; and nohup means what it says.
        numbers = [
            n for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN
        ]
        with self._alarm as alarm, self._waker:
            before = {number: signal.signal(number, self._on_signal) for number in numbers}
            woken = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
            try:
                yield alarm
            finally:
                signal.set_wakeup_fd(woken)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the system's signature
        """TERM, HUP and a first INT drain; a second INT ends everything at once."""
        if number == signal.SIGINT and self._is_draining:
            os._exit(FORCED)
        self._drain()

    @property
    def _is_draining(self) -> bool:
        return any(serving.is_draining for serving in self._servings)

    def _drain(self) -> None:
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._drain_timeout
        for serving in self._servings:
            serving.drain()

    def _serve(self, serving: Serving) -> None:
        """Be one thread: open what the application keeps, serve, close it again."""
        try:
            self._start()
            try:
                serving.run()
            finally:
                self._stop()
        except LrwpError as error:
            self._error = error
        except BaseException as error:
            log.exception("worker failed")
            self._error = LrwpError(f"the worker failed: {type(error).__name__}: {error}")
        # One thread that has left, for whatever reason, is reason enough for the others to leave as well.
        self._drain()
        self._left.append(serving)
        self._wake()

    def _wake(self) -> None:
        """Have the main thread look around."""
        with suppress(OSError):  # a full pipe wakes as well
            self._waker.send(b"!")

    def _is_finished(self, answered: int) -> bool:  # noqa: ARG002 - each thread counts, the sum decides
        if self._is_retired():
            return True
        most = self._wear.most_requests
        if not most or self._is_worn:
            return False
        count = sum(each.answered for each in self._servings)
        return count >= most and self._wear_out(f"it has answered {count} requests")

    def _look_at_wear(self, now: float) -> float | None:
        """Look whether this process has served for long enough; returns in how many seconds to look again.

        The main thread does it, so it costs requests nothing, and a process that is idle is seen too.
        """
        if self._is_worn or self._is_draining:
            return None
        reason = self._wear.look(now)
        if reason and self._wear_out(reason):
            self._drain()
        return self._wear.pause

    def _wear_out(self, reason: str) -> bool:
        """Note that another process should take our place; returns whether we have to leave without one.

        A parent that can start one tells us to leave when it is ready. Until then we serve, however long
        that takes: worn is better than gone.
        """
        with self._lock:
            if self._is_worn:
                return False
            self._is_worn = True
        log.info("worn out", reason=reason)
        if self._parent is not None:
            tell_wear(self._parent)
            return False
        self._recycled = True
        return True

    def _on_registered(self) -> None:
        """Tell who started us, once every thread is ready for work; and have the vigil begin."""
        self._wake()
        with self._lock:
            self._unregistered -= 1
            if self._unregistered == 0:
                tell_ready()


def _promise_nobody(seconds: float) -> None:
    """Do without a parent that watches over us."""


def _use_database(settings: WorkerSettings, target: Any) -> None:
    """Have an application use the database of the settings.

    Raises:
        SettingsError: the target is no application.
        DatabaseError: the URL cannot be used.
    """
    if settings.kind != "app":
        raise SettingsError("a WSGI application opens its database by itself: leave out the database")
    from worker.database import Database  # noqa: PLC0415 - SQLAlchemy takes time to import, and few need it

    target.use(Database(settings.database))


def _registration(
    settings: WorkerSettings, label: str | None, default_name: str, number: int
) -> Registration:
    """Return what one thread says of itself.

    Raises:
        SettingsError: a name, host or path cannot be registered.
    """
    names = settings.name or (default_name,)
    host = settings.host.lower()
    claims = [Claim(name, host, path) for name in names for path in settings.path or (f"/{name}",)]
    where = f"{socket.gethostname()}:{os.getpid()}"
    instance = f"{where}:{number}:{secrets.token_hex(4)}"
    name = label or where
    labels = {"label": name if settings.threads == 1 else f"{name}.{number + 1}"}
    try:
        return read_registration(instance, tuple(tuple(claim) for claim in claims), settings.window, labels)
    except LrwpError as error:
        raise SettingsError(f"{error}; see --name, --path and --host") from None


def _read_trust(settings: WorkerSettings) -> Trust | None:
    """Return whom to trust, None if no dispatcher is dialled over TLS.

    Raises:
        SettingsError: a file cannot be read or used.
    """
    if not any(address.kind == "tls" for address in settings.dispatcher):
        return None
    from worker.tls import Trust  # noqa: PLC0415 - OpenSSL takes time to load, and few links need it

    return Trust(settings.ca_file, settings.certificate, settings.key)


def _read_secret(settings: WorkerSettings) -> bytes | None:
    """Return the secret to prove, the first of its file; None if there is no file.

    Raises:
        SettingsError: the file cannot be read, or what is in it cannot be used.
    """
    if settings.secret_file is None:
        return None
    try:
        secret, *_ = read_secrets(settings.secret_file.read_bytes(), str(settings.secret_file))
        mode = settings.secret_file.stat().st_mode
    except OSError as error:
        raise SettingsError(f"cannot read the secret file {settings.secret_file}: {error.strerror}") from None
    if mode & 0o077:
        log.warning("others can read the secret file; chmod 600 it", file=str(settings.secret_file))
    return secret
