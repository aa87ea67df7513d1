"""The sizes that both sides of a link agree on: one table, each number with its reason."""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
"""The version of the protocol that ``register`` names."""

FRAME: Final = 2 * 1024 * 1024
"""Longest payload of a frame in bytes. A head at its own limit and an inline body fit many times over; the
first byte of the length stays 0x00 up to 16 MiB, which tells LRWP/3 from its ancestors."""

REGISTRATION_FRAME: Final = 64 * 1024
"""Longest payload before a link is registered: room for hundreds of application names, not for an attack."""

PIECE: Final = 128 * 1024
"""Largest body that travels inside ``request`` or ``response``, and the size of the pieces of a larger one.
Between 64 and 256 KiB the throughput of a 100 MiB body is flat; below, frames cost time, above, memory."""

HEAD: Final = 64 * 1024
"""Longest head of a response in bytes: eight times what nginx takes from an upstream by default."""

NAME: Final = 200
"""Longest application name, host or label in characters (LRWP/1's own bound)."""

PATH: Final = 1024
"""Longest path that an application may register, in characters."""

APPLICATIONS: Final = 1000
"""Most applications that one link may register."""

LABELS: Final = 16
"""Most labels on a link."""

WINDOW: Final = 8
"""Most exchanges that a link may hold. Measured with one worker: a window of 1 gave 15,000 requests/s,
2 gave 35,000, 4 gave 43,000; beyond 8 there was nothing left to gain."""

NONCE: Final = 32
"""Bytes of a nonce: as long as the HMAC-SHA256 key space that it is mixed into."""

SECRET: Final = 16
"""Shortest secret in bytes: 128 bits, if they are random."""

SECRETS: Final = 8
"""Most secrets in a file. A change needs two; each is one more HMAC for whoever tries a proof."""
