import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lrwp.load import command
from lrwp.load.report import KEYS
from lrwp.load.run import UnreachableError
from protocol.errors import SettingsError

NOWHERE = "http://127.0.0.1:1/"
"""Nothing listens there: what gets so far has passed all checks."""


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            {"url": "localhost:8080"},
            "'localhost:8080' is not a URL that can be asked: write http://host:port/path",
        ),
        ({"requests": 1, "duration": "1"}, "-n and -d each say when to end: give one of them"),
        ({"rate": 0.0}, "--rate must be a number of requests above 0"),
        ({"rate": float("nan")}, "--rate must be a number of requests above 0"),
        ({"rate": float("inf")}, "--rate must be a number of requests above 0"),
        ({"duration": "0"}, "-d must be a number of seconds above 0, or a duration such as 250ms or 5m"),
        ({"duration": "soon"}, "-d must be a number of seconds above 0, or a duration such as 250ms or 5m"),
        (
            {"timeout": "-1"},
            "--timeout must be a number of seconds above 0, or a duration such as 250ms or 5m",
        ),
        ({"match": "("}, "'(' is not a regular expression: missing ), unterminated subpattern at position 0"),
        ({"match": "x", "as_json": True}, "--match prints lines and --json one object: give one of them"),
        ({"body": "x", "body_file": Path("x")}, "--body and --body-file are both the body: give one of them"),
        ({"body_file": Path("/no/such/file")}, "/no/such/file cannot be read: No such file or directory"),
        ({"method": "GET IT"}, "'GET IT' is not a method: write one word such as GET or POST"),
        ({"header": ["x"]}, "'x' is not a header: write 'Name: value'"),
    ],
)
def test_wrong_usage_is_one_sentence_that_says_what_to_do(flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        command(**{"url": NOWHERE} | flags)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"duration": "250ms"},
        {"duration": "2", "rate": 0.5},
        {"requests": 5, "rate": 10.0},
        {"match": "<h1>"},
        {"body": "a=b", "method": "PUT", "header": ["A: b", "C: d"], "timeout": "1m"},
        {"body_file": Path(__file__)},
    ],
)
def test_right_usage_gets_as_far_as_the_server(flags: dict[str, Any]) -> None:
    with pytest.raises(UnreachableError):
        command(NOWHERE, **flags)


def test_the_help_names_every_key_of_the_json_object() -> None:
    words = (command.__doc__ or "").replace(",", " ").replace(";", " ").replace(")", " ").split()
    assert [key for key in KEYS if key not in words] == []


def test_importing_the_command_does_not_import_what_only_a_run_needs() -> None:
    costly = {"asyncio", "uvloop", "hdrh", "rich", "ssl"}
    source = f"import sys, lrwp.load; print(*{costly} & set(sys.modules))"
    finished = subprocess.run(
        [sys.executable, "-c", source], check=True, capture_output=True, text=True, timeout=30
    )
    assert finished.stdout.strip() == ""
