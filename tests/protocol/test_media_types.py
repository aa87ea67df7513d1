from __future__ import annotations

import pytest

from protocol.media_types import media_type


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".html", "text/html; charset=utf-8"),
        (".css", "text/css; charset=utf-8"),
        (".js", "text/javascript; charset=utf-8"),
        (".json", "application/json; charset=utf-8"),
        (".svg", "image/svg+xml; charset=utf-8"),
        (".png", "image/png"),
        (".xml", "application/xml"),
        (".woff2", "font/woff2"),
        (".wasm", "application/wasm"),
        ("", "application/octet-stream"),
        (".unheard-of", "application/octet-stream"),
    ],
)
def test_a_suffix_says_what_a_file_is_sent_as(suffix, kind):
    assert media_type(suffix) == kind
