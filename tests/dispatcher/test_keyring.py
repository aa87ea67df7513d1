"""The keyring: which secret opens which application, and how it comes out of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dispatcher.keyring import Keyring, explain, read_keyring
from dispatcher.settings import ApplicationSettings, DispatcherSettings
from protocol.errors import SettingsError
from protocol.registration import Claim, Registration, prove

OURS, THEIRS = bytes(range(32)), bytes(range(32, 64))
GENERAL, SHOP, NEW = b"a general secret", b"the shop's secret", b"the shop's newer secret"


def registration(*names: str) -> Registration:
    return Registration("w1", tuple(Claim(name, "", f"/{name}") for name in names))


def find(keyring: Keyring, secret: bytes, *names: str) -> bytes | None:
    """Have a worker with this secret register applications, and return the secret that it has proved."""
    asked = registration(*names)
    proof = prove(secret, OURS, THEIRS, asked.instance, asked.applications)
    return keyring.find(asked, OURS, THEIRS, proof)


def opens(keyring: Keyring, secret: bytes, *names: str) -> bool:
    found = find(keyring, secret, *names)
    assert found in {None, secret}
    assert keyring.opens(secret, registration(*names).applications) == (found is not None)
    return found is not None


# Which secret opens what


def test_without_secrets_nobody_must_prove_anything() -> None:
    assert not Keyring()
    assert Keyring((GENERAL,))
    assert Keyring((), {"shop": (SHOP,)})
    assert Keyring().opens(None, registration("shop").applications)


def test_a_general_secret_opens_every_application_that_has_none_of_its_own() -> None:
    keyring = Keyring((GENERAL,), {"shop": (SHOP,)})
    assert [opens(keyring, GENERAL, name) for name in ("pages", "wiki", "shop")] == [True, True, False]


def test_an_application_s_own_secret_opens_it_and_nothing_else() -> None:
    keyring = Keyring((GENERAL,), {"shop": (SHOP,), "blog": (NEW,)})
    assert [opens(keyring, SHOP, name) for name in ("shop", "pages", "blog")] == [True, False, False]


def test_where_there_are_only_own_secrets_the_other_applications_are_closed() -> None:
    keyring = Keyring((), {"shop": (SHOP,)})
    assert opens(keyring, SHOP, "shop")
    assert not opens(keyring, SHOP, "pages")
    assert not keyring.opens(None, registration("pages").applications)


def test_each_of_several_secrets_is_valid() -> None:
    keyring = Keyring((GENERAL, b"an older general secret"), {"shop": (NEW, SHOP)})
    assert [find(keyring, secret, "shop") for secret in (SHOP, NEW)] == [SHOP, NEW]
    assert find(keyring, b"an older general secret", "pages") == b"an older general secret"


def test_a_secret_must_be_good_for_all_that_is_registered_with_it() -> None:
    keyring = Keyring((GENERAL,), {"shop": (SHOP,), "blog": (NEW, SHOP)})
    assert opens(keyring, SHOP, "shop", "blog")
    assert not opens(keyring, NEW, "shop", "blog")
    assert not opens(keyring, GENERAL, "pages", "shop")
    assert not opens(keyring, SHOP, "shop", "pages")
    assert opens(keyring, GENERAL, "pages", "wiki")


@pytest.mark.parametrize("proof", [b"", bytes(32), b"short"])
def test_what_is_no_proof_opens_nothing(proof: bytes) -> None:
    assert Keyring((GENERAL,)).find(registration("pages"), OURS, THEIRS, proof) is None


def test_a_proof_for_another_challenge_opens_nothing() -> None:
    asked = registration("pages")
    proof = prove(GENERAL, OURS, THEIRS, asked.instance, asked.applications)
    assert Keyring((GENERAL,)).find(asked, bytes(32), THEIRS, proof) is None
    assert Keyring((GENERAL,)).find(asked, OURS, OURS, proof) is None


def test_a_worker_whose_proof_is_wrong_hears_what_to_do() -> None:
    assert explain(registration("shop").applications) == (
        "the proof is wrong: give the worker the secret_file of the dispatcher's [applications.shop],"
        " or that of [dispatcher] if there is none"
    )
    assert explain(registration("shop", "pages").applications) == (
        "the proof is wrong: give the worker a secret that is good for all its applications, or each of them"
        " a worker"
    )


def test_a_keyring_shows_no_secret() -> None:
    text = repr(Keyring((GENERAL,), {"shop": (SHOP,)}))
    assert text == "<Keyring, 1 general, 1 applications with their own>"


# Files


def a_file(folder: Path, name: str, content: bytes, mode: int = 0o600) -> Path:
    file = folder / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


def read(general: Path | None, **own: Path | None) -> Keyring:
    settings = {name: ApplicationSettings(secret_file=file) for name, file in own.items()}
    return read_keyring(DispatcherSettings(secret_file=general), settings)


def test_secrets_come_from_the_files_that_the_settings_name(tmp_path: Path) -> None:
    general = a_file(tmp_path, "general", GENERAL + b"\n")
    shop = a_file(tmp_path, "shop", NEW + b"\r\n\n  " + SHOP + b"  \n" + NEW)
    assert read(general, shop=shop, pages=None) == Keyring((GENERAL,), {"shop": (NEW, SHOP)})
    assert read(None, shop=shop) == Keyring((), {"shop": (NEW, SHOP)})
    assert read(None, pages=None) == Keyring()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the secret file {} is empty: write at least 16 characters"),
        (b" \n\n", "the secret file {} is empty: write at least 16 characters"),
        (b"fifteen letters", "a secret in {} is too short: write at least 16 characters; each line is one"),
        (
            b"sixteen letters!\nshort",
            "a secret in {} is too short: write at least 16 characters; each line is one",
        ),
        (
            b"\n".join(b"secret number %03d" % number for number in range(9)),
            "there are 9 secrets in {}, over the limit of 8: take out those that no worker uses any more",
        ),
    ],
    ids=["empty", "blank", "short", "second short", "too many"],
)
def test_a_file_that_holds_no_good_secrets_is_refused_with_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = a_file(tmp_path, "secret", content)
    for arguments in ({"general": file}, {"general": None, "shop": file}):
        with pytest.raises(SettingsError) as error:
            read(**arguments)  # type: ignore[arg-type]  # the one is general, the other an application's
        assert str(error.value) == sentence.format(file)


def test_a_file_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^cannot read the secret file .*/gone: No such"):
        read(tmp_path / "gone")


@pytest.mark.parametrize(
    ("mode", "is_warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)]
)
def test_a_file_that_others_can_read_is_warned_about(tmp_path: Path, mode: int, is_warned: bool) -> None:
    file = a_file(tmp_path, "secret", GENERAL, mode)
    with capture_logs() as log:
        read(file)
    assert [(entry["event"], entry["file"]) for entry in log] == [
        ("others can read the secret file; chmod 600 it", str(file))
    ] * is_warned
