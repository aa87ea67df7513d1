"""The limits agree with each other."""

from __future__ import annotations

import msgpack
import pytest

from protocol import limits
from protocol.dispatcher_end import DispatcherEnd
from protocol.frames import PREFIX, encode_frame
from protocol.registration import Claim, Registration
from protocol.worker_end import WorkerEnd
from tests.protocol.fakes import Diary


def test_the_first_byte_of_the_longest_frame_is_zero() -> None:
    assert limits.FRAME < 2**24


def test_a_head_and_an_inline_body_fit_into_a_frame_together() -> None:
    overhead = len(msgpack.packb((2, 2**64 - 1, 999, b"", b"", False))) + 2 * 4
    assert limits.HEAD + limits.PIECE + overhead <= limits.FRAME


def test_hundreds_of_applications_fit_into_a_registration() -> None:
    claims = tuple(Claim(f"application-{number}", "", f"/application-{number}") for number in range(999))
    frame = WorkerEnd(Diary()).register(
        Registration("worker-17@host", claims), bytes(limits.NONCE), bytes(32)
    )
    assert len(frame) <= PREFIX + limits.REGISTRATION_FRAME


def test_one_application_with_the_longest_names_fits_into_a_registration() -> None:
    name = "名" * limits.NAME
    claim = Claim(name, "h" * limits.NAME, "/" + "名" * (limits.PATH - 1))
    labels = tuple((f"{number:03}{name[3:]}", name) for number in range(limits.LABELS))
    frame = WorkerEnd(Diary()).register(
        Registration(name, (claim,), 8, labels), bytes(limits.NONCE), bytes(32)
    )
    assert len(frame) <= PREFIX + limits.REGISTRATION_FRAME


@pytest.mark.parametrize(
    ("timeouts", "more"),
    [((250,), {}), ((250, 60_000), {"request_timeout": 60_000})],
    ids=["usual", "patient"],
)
def test_the_dispatcher_tells_the_worker_what_it_takes(
    timeouts: tuple[int, ...], more: dict[str, int]
) -> None:
    dispatcher: DispatcherEnd[str] = DispatcherEnd(Diary())
    worker = WorkerEnd(Diary())
    dispatcher.receive(worker.register(Registration("w", (Claim("a", "", "/a"),)), bytes(limits.NONCE)))
    assert dispatcher.registered(*timeouts) == encode_frame(
        (17, {"frame": limits.FRAME, "piece": limits.PIECE, **more}, 250)
    )
