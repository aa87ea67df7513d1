"""Media types: what a file is, by the suffix of its name."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from typing import Final

_TYPES: Final = {
    ".7z": "application/x-7z-compressed",
    ".atom": "application/atom+xml",
    ".bz2": "application/x-bzip2",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".jxl": "image/jxl",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".rss": "application/rss+xml",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",  # unlike text/xml, it lets the file say its own charset
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".zst": "application/zstd",
}
"""What the standard library of Python 3.11 does not know, or knows by an older name."""

_IN_UTF_8: Final = frozenset({"application/json", "application/ld+json", "image/svg+xml"})
"""Types beside ``text/*`` that are text and are said to be UTF-8."""

# An instance knows the library's own table only. The functions of the module know /etc/mime.types as well,
# and with them the same file would have another type on another machine.
_LIBRARY: Final = mimetypes.MimeTypes()


@lru_cache(maxsize=256)
def media_type(suffix: str) -> str:
    """Return what files with this suffix, which is in lower case and begins with a dot, are sent as.

    >>> media_type(".html"), media_type(".json"), media_type(".unheard-of")
    ('text/html; charset=utf-8', 'application/json; charset=utf-8', 'application/octet-stream')
    """
    kind = _TYPES.get(suffix) or _LIBRARY.types_map[True].get(suffix, "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in _IN_UTF_8 else kind
