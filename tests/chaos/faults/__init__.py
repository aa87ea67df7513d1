"""The faults, in the order in which they are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.faults import (
    clients,
    clocks,
    databases,
    dispatchers,
    links,
    resources,
    restarts,
    soak,
    workers,
)

if TYPE_CHECKING:
    from tests.chaos.fault import Fault

FAULTS: Final[tuple[type[Fault], ...]] = (
    workers.KillUnbegun,
    workers.KillBegun,
    workers.KillStreaming,
    workers.Stop,
    workers.NeverReturns,
    links.HalfOpen,
    links.Frames,
    dispatchers.Terminate,
    dispatchers.Kill,
    workers.DiesAtImport,
    workers.Rolling,
    restarts.BrokenCode,
    restarts.RestartDispatcher,
    restarts.KillDispatcher,
    clients.LeaveWaiting,
    clients.LeaveUploading,
    clients.LeaveDownloading,
    clients.Queue,
    clients.SlowReader,
    clients.SlowUpload,
    clients.Idle,
    resources.NoFiles,
    resources.FullDisk,
    databases.Gone,
    databases.Locked,
    clocks.Jump,
    workers.Poison,
    soak.Soak,
)
