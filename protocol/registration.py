"""What a worker says of itself when it registers, and the proof that it may.

The proof is HMAC-SHA256 over both sides' nonces, the version, the instance and the applications, each with
its length in front, so that no two registrations have the same text. Neither a proof nor a part of one is
worth anything on another connection: the dispatcher's nonce is new for each.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from protocol import limits
from protocol.errors import LrwpError, SettingsError

_HOST: Final = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
"""A host as the Host field has it, in lower case and without its port; IPv6 in brackets."""


class RegistrationError(LrwpError):
    """A registration that cannot be used; the sentence says which field and why."""


class Claim(NamedTuple):
    """One application that a worker serves: its name, and where.

    Attributes:
        name: the application's name, 1 to 200 printable characters.
        host: the virtual host that it is limited to, in lower case; empty for any host.
        path: the path at and below which it is served; ``/`` for the whole host.
    """

    name: str
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class Registration:
    """The fields of ``register`` that describe the worker."""

    instance: str
    applications: tuple[Claim, ...]
    window: int = limits.WINDOW
    labels: tuple[tuple[str, str], ...] = ()


def read_registration(instance: str, applications: Any, window: int, labels: Any) -> Registration:
    """Return the checked registration that the fields of a ``register`` message describe.

    Raises:
        RegistrationError: a field is missing, too long, or not what the protocol asks for.
    """
    if not _is_name(instance):
        raise RegistrationError(f"the instance must be 1 to {limits.NAME} printable characters")
    if not 1 <= len(applications) <= limits.APPLICATIONS:
        raise RegistrationError(f"a worker registers 1 to {limits.APPLICATIONS} applications")
    if not 1 <= window <= limits.WINDOW:
        raise RegistrationError(f"the window must be from 1 to {limits.WINDOW}, not {window}")
    for name, value in labels.items():
        if not (_is_name(name) and _is_name(value)):
            raise RegistrationError(f"labels are pairs of 1 to {limits.NAME} printable characters")
    claims = tuple(_read_claim(application) for application in applications)
    if len(set(claims)) != len(claims):
        raise RegistrationError("the registration names one application twice")
    return Registration(instance, claims, window, tuple(labels.items()))


def _read_claim(application: Any) -> Claim:
    if type(application) is not tuple or [*map(type, application)] != [str, str, str]:
        raise RegistrationError("an application is an array of three strings: name, host, path")
    claim = Claim(*application)
    if not _is_name(claim.name):
        raise RegistrationError(f"an application's name must be 1 to {limits.NAME} printable characters")
    if claim.host and not (_is_name(claim.host) and _HOST.fullmatch(claim.host)):
        raise RegistrationError(f"the host of {claim.name} must be a host name in lower case, without a port")
    path = claim.path
    if not (path.startswith("/") and len(path) <= limits.PATH and path.isprintable()):
        raise RegistrationError(
            f"the path of {claim.name} must start with / and be at most {limits.PATH} long"
        )
    if path != "/" and (path.endswith("/") or "//" in path or {".", ".."} & set(path.split("/"))):
        raise RegistrationError(
            f"the path of {claim.name} must be plain: no trailing /, no //, no dot segments"
        )
    return claim


def _is_name(text: object) -> bool:
    return type(text) is str and 1 <= len(text) <= limits.NAME and text.isprintable()


def prove(
    secret: bytes,
    dispatcher_nonce: bytes,
    worker_nonce: bytes,
    instance: str,
    applications: tuple[Claim, ...],
) -> bytes:
    """Return the 32-byte proof that the holder of ``secret`` registers ``applications`` on this link."""
    parts = [b"LRWP", str(limits.VERSION).encode(), dispatcher_nonce, worker_nonce, instance.encode()]
    for claim in applications:
        parts += (field.encode() for field in claim)
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(secret, text, hashlib.sha256)


def is_proof(expected: bytes, proof: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(expected, proof)


def read_secrets(content: bytes, file: str) -> tuple[bytes, ...]:
    """Return the secrets of a secret file: one on each line, without the blanks around it.

    The dispatcher takes any of them, a worker uses the first. So a new secret is put in front of the old one
    on one host after another, and the old one is taken out in the end.

    Raises:
        SettingsError: there is none, one is too short, or there are too many.
    """
    secrets = tuple(dict.fromkeys(line.strip() for line in content.splitlines() if line.strip()))
    if not secrets:
        raise SettingsError(f"the secret file {file} is empty: write at least {limits.SECRET} characters")
    if any(len(secret) < limits.SECRET for secret in secrets):
        raise SettingsError(
            f"a secret in {file} is too short: write at least {limits.SECRET} characters; each line is one"
        )
    if len(secrets) > limits.SECRETS:
        raise SettingsError(
            f"there are {len(secrets)} secrets in {file}, over the limit of {limits.SECRETS}:"
            " take out those that no worker uses any more"
        )
    return secrets
