"""The keyring: which secret opens which application.

An application with a secret file of its own is registered with a secret of that file and with no other: if
the general ones still did, the host from which one of them leaks could take over every application. All
others are registered with a general secret. As soon as there is one secret, nobody registers without.

A worker proves one secret for all that it registers, so it must be good for each of its applications.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from protocol.errors import SettingsError
from protocol.registration import is_proof, prove, read_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dispatcher.settings import ApplicationSettings, DispatcherSettings
    from protocol.registration import Claim, Registration

Secrets = tuple[bytes, ...]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """The secrets that are valid now.

    Attributes:
        general: those of the applications that have none of their own.
        own: those of the other applications, by name.
    """

    general: Secrets = ()
    own: Mapping[str, Secrets] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Keyring, {len(self.general)} general, {len(self.own)} applications with their own>"

    def __bool__(self) -> bool:
        """Whether workers must prove anything."""
        return bool(self.general or self.own)

    def find(self, registration: Registration, ours: bytes, theirs: bytes, proof: bytes) -> bytes | None:
        """Return the secret that a worker has proved to know for all its applications, None if it has not.

        Args:
            registration: what the worker says of itself.
            ours: the nonce of our challenge.
            theirs: the worker's nonce.
            proof: its proof.
        """
        claims = registration.applications
        for secret in self.good_for(claims):
            if is_proof(prove(secret, ours, theirs, registration.instance, claims), proof):
                return secret
        return None

    def shuts_out(self, secret: bytes | None, name: str) -> bool:
        """Return whether an application has secrets of its own, and this is none of them."""
        own = self.own.get(name)
        return own is not None and secret not in own

    def opens(self, secret: bytes | None, claims: Iterable[Claim]) -> bool:
        """Return whether a worker that has proved this secret, or none, may serve all that it claims."""
        return not self or secret in self.good_for(claims)

    def good_for(self, claims: Iterable[Claim]) -> Secrets:
        """Return the secrets that open each of these applications."""
        first, *others = (self.own.get(name, self.general) for name in dict.fromkeys(c.name for c in claims))
        return tuple(secret for secret in first if all(secret in other for other in others))


def explain(claims: Iterable[Claim]) -> str:
    """Return what a worker hears whose proof is wrong.

    It is the same whatever is wrong, and whichever secrets there are: who proves nothing is told nothing.
    """
    names = list(dict.fromkeys(claim.name for claim in claims))
    if len(names) > 1:
        return (
            "the proof is wrong: give the worker a secret that is good for all its applications, or each of"
            " them a worker"
        )
    return (
        f"the proof is wrong: give the worker the secret_file of the dispatcher's [applications.{names[0]}],"
        " or that of [dispatcher] if there is none"
    )


def read_keyring(settings: DispatcherSettings, applications: Mapping[str, ApplicationSettings]) -> Keyring:
    """Return the secrets in the files that the settings name; files that others can read are warned about.

    Raises:
        SettingsError: a file cannot be read, or what is in it cannot be used.
    """
    own = {
        name: _read_file(application.secret_file)
        for name, application in applications.items()
        if application.secret_file is not None
    }
    return Keyring(() if settings.secret_file is None else _read_file(settings.secret_file), own)


def _read_file(path: Path) -> Secrets:
    try:
        secrets = read_secrets(path.read_bytes(), str(path))
        mode = path.stat().st_mode
    except OSError as error:
        raise SettingsError(f"cannot read the secret file {path}: {error.strerror}") from None
    if mode & 0o077:
        log.warning("others can read the secret file; chmod 600 it", file=str(path))
    return secrets
