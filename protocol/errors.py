"""The exceptions of LRWP.

::

    LrwpError                    the root: everything that we raise on purpose
    ├── ProtocolError            the rules of the link were broken
    │   ├── RemoteProtocolError  by the peer: the link is dropped
    │   └── LocalProtocolError   by us: a bug, raised before a byte is written
    ├── RegistrationError        a registration that cannot be used (protocol.registration)
    ├── HeaderError              a header name or value that may not be sent
    ├── AddressError             an address that cannot be read
    ├── RejectedError            the dispatcher did not accept a registration
    └── SettingsError            a flag, key or variable that cannot be used
"""

from __future__ import annotations


class LrwpError(Exception):
    """Root of all errors that LRWP raises on purpose; the message is one sentence that says what to do."""


class ProtocolError(LrwpError):
    """The rules of the link were broken."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules: its link is dropped, what it held is settled, nobody else notices."""


class LocalProtocolError(ProtocolError):
    """Our own side was about to break the rules: a bug here, found before a byte was written."""


class HeaderError(LrwpError):
    """A header name or value with characters that would change the meaning of the message around it."""


class AddressError(LrwpError):
    """An address that is not ``host:port``, ``unix:///path`` or ``tls://host:port``."""


class RejectedError(LrwpError):
    """The dispatcher refused a registration.

    Attributes:
        code: one of :data:`protocol.messages.REJECTIONS`, for programs.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class SettingsError(LrwpError):
    """A flag, a configuration key or an environment variable that cannot be used as it stands."""
