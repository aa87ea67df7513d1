"""The sockets that outlive a dispatcher."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dispatcher.settings import DispatcherSettings
from dispatcher.sockets import ListenError
from lrwp.listening import Listening
from protocol.addresses import Address


def settings(folder: Path, **others: Address) -> DispatcherSettings:
    return DispatcherSettings(
        http=others.get("http", Address("unix", path=f"{folder}/http")),
        link=(Address("unix", path=f"{folder}/link"), Address("tcp", "127.0.0.1", 0)),
        admin=Address("unix", path=f"{folder}/admin"),
    )


def test_who_connects_is_accepted_by_the_system(tmp_path: Path) -> None:
    listening = Listening(settings(tmp_path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/http")
    assert [name for name, _ in listening.files] == ["http", "admin", "link", "link", "applications"]
    assert f"http unix://{tmp_path}/http" in repr(listening)
    listening.close()
    assert list(tmp_path.iterdir()) == []
    assert repr(listening) == "<Listening nowhere>"


def test_what_is_written_into_its_file_stands_behind_what_was_there(tmp_path: Path) -> None:
    listening = Listening(settings(tmp_path))
    file = dict(listening.files)["applications"]
    os.write(file, b"one")
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, b"two")
    assert os.pread(file, 100, 0) == b"onetwo"
    listening.close()


def test_an_address_in_use_leaves_nothing_open_and_nothing_behind(tmp_path: Path) -> None:
    files = os.listdir("/proc/self/fd")
    (tmp_path / "admin").touch()
    with pytest.raises(ListenError, match="there is a file of that name"):
        Listening(settings(tmp_path))
    assert os.listdir("/proc/self/fd") == files
    assert [path.name for path in tmp_path.iterdir()] == ["admin"]


def test_disowned_sockets_keep_their_files_until_the_end(tmp_path: Path) -> None:
    listening = Listening(settings(tmp_path))
    listening.disown()
    assert (tmp_path / "http").exists()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(f"{tmp_path}/http")
    listening.close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_the_sockets_are_passed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("lrwp.listening.os.memfd_create", refuse)
    listening = Listening(settings(tmp_path, http=Address("tcp", "127.0.0.1", 0)))
    assert [name for name, _ in listening.files] == ["http", "admin", "link", "link"]
    listening.close()
