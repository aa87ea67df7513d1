from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrwp.values import KINDS, kind_of_choices
from protocol.addresses import Address
from protocol.errors import AddressError
from protocol.settings import Duration, Size


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Duration, "30s", 30.0),
        (Duration, "250ms", 0.25),
        (Duration, "5m", 300.0),
        (Duration, "1.5h", 5400.0),
        (Duration, " 2 s ", 2.0),
        (Duration, "45", 45.0),
        (Duration, 45, 45.0),
        (Duration, 0.5, 0.5),
        (Size, "64MiB", 64 * 1024**2),
        (Size, "1GiB", 1024**3),
        (Size, "10kB", 10_000),
        (Size, "1.5kib", 1536),
        (Size, "12B", 12),
        (Size, "4096", 4096),
        (Size, 4096, 4096),
        (int, 3, 3),
        (bool, True, True),
        (str, "", ""),
        (Size, "9007199254740993", 2**53 + 1),
        (Path, "a/b", Path("a/b")),
        (Path, "~/b", Path.home() / "b"),
        (Address, "unix:///run/x", Address("unix", path="/run/x")),
    ],
)
def test_values_are_read(kind: Any, value: object, expected: object) -> None:
    assert KINDS[kind].read(value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Duration, "30 apples"),
        (Duration, "-1s"),
        (Duration, "s"),
        (Duration, "1e3"),
        (Duration, float("nan")),
        (Duration, float("inf")),
        pytest.param(Duration, "9" * 400, id="a text beyond all floats"),
        pytest.param(Duration, "9" * 308 + ".5h", id="more hours than a float has seconds"),
        pytest.param(Duration, "9" * 5000, id="more digits than Python reads"),
        pytest.param(Duration, 10**400, id="a number beyond all floats"),
        (Duration, True),
        (Duration, None),
        (Size, "0.3B"),
        (Size, "1h"),
        (Size, 1.5),
        pytest.param(Size, "9" * 400 + ".5", id="a size beyond all floats"),
        (int, "3"),
        (int, 3.0),
        (int, True),
        (bool, 1),
        (bool, "true"),
        (str, 3),
        (str, "a\0b"),
        (Path, ""),
        (Path, 3),
        (Path, "a\0b"),
        (Path, "~nobody-has-this-name/b"),
        (Address, 8080),
        (Address, "8080"),
    ],
)
def test_other_values_are_refused(kind: Any, value: object) -> None:
    with pytest.raises((ValueError, AddressError)):
        KINDS[kind].read(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Duration, "30s"),
        (Duration, "250ms"),
        (Duration, "5m"),
        (Duration, "1h"),
        (Duration, "75s"),
        (Duration, "1.5s"),
        (Duration, "0s"),
        (Duration, "1234567s"),
        (Duration, "123456.75s"),
        (Duration, "0.00001s"),
        (Duration, "0.1234567s"),
        (Size, "64KiB"),
        (Size, "1GiB"),
        (Size, "1000"),
        (Size, "0"),
        (Address, "[::1]:80"),
        (Address, "tls://example.org:443"),
    ],
)
def test_what_is_written_reads_as_it_was(kind: Any, text: str) -> None:
    assert KINDS[kind].write(KINDS[kind].read(text)) == text


def test_a_choice_is_one_of_its_words() -> None:
    kind = kind_of_choices(("common", "json", "off"))
    assert kind.read("json") == "json"
    assert (kind.meaning, kind.metavar) == ("common, json or off", "common|json|off")
    with pytest.raises(ValueError, match=r"^$"):
        kind.read("xml")
