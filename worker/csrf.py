"""Cross-site request forgery: whether a form that is posted here was also shown here, to the same browser.

A session keeps a secret, each form carries it in a hidden field, and what comes back is compared. Formlets do
all of that by themselves; other handlers put :func:`csrf_field` into their forms, and
``app.wrap(csrf_protect)`` has every unsafe request checked.
"""

from __future__ import annotations

import secrets
from functools import wraps
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from worker.errors import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.request import Request

FIELD: Final = "csrf_token"
"""The field of a form that carries the token."""

HEADER: Final = "X-CSRF-Token"
"""The header field that carries it instead, where a script sends something else than a form."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 §9.2.1), and so have nothing to be forged."""

KEY: Final = "csrf"
"""Name of the secret in a session. A login drops it together with the session's old id: who could plant a
session in the browser before knows it."""

_SECRET: Final = 16
"""Bytes of a secret: as many as a session's id, which protects the same things."""

_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""What a browser says in Sec-Fetch-Site of our own pages, and of what its user did outside of any page. Not
"same-site": a neighbour below the same domain is not us."""

_ELSEWHERE: Final = (
    "This form was sent from a page of another site, so nothing was done. "
    "If you meant to do this, open the form on this site and send it from there."
)
_MISSING: Final = (
    "The form came without the mark that shows that it is from this site, so nothing was done. "
    "Please go back, reload the page and send it again."
)
_EXPIRED: Final = (
    "The form was open for so long that it is no longer valid, so nothing was done. "
    "Please go back, copy what you typed, reload the page and send it again. Your browser must keep cookies."
)


class CsrfError(HttpError):
    """A request that changes something, and that a page of ours did not send; 403."""

    def __init__(self, sentence: str) -> None:
        super().__init__(403, sentence)


def csrf_token(request: Request) -> str:
    """Return a token for one form of a page.

    It is another one each time: a secret that stood in every page as it is could be guessed, letter by
    letter, from how well pages compress that also show what an attacker chose (the BREACH attack, 2013). So
    it is hidden under a random mask, which goes before it.

    Call it in the handler: where a page is streamed, the session was saved before the page is made.
    """
    secret = request.session.get(KEY)
    if secret is None:
        secret = request.session[KEY] = secrets.token_hex(_SECRET)
    mask = secrets.token_bytes(_SECRET)
    return (mask + _xor(mask, bytes.fromhex(secret))).hex()


def csrf_field(request: Request) -> Markup:
    """Return the hidden field that a form must have to be accepted."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token(request))


def check_csrf(request: Request) -> None:
    """Make sure that a page of ours sent this request.

    Raises:
        CsrfError: another site sent it, or its token is missing, wrong or from a session that has ended.
        HttpError: 400 or 413, the form in which the token would be cannot be read.
    """
    if not _is_from_here(request):
        raise CsrfError(_ELSEWHERE)
    token = _sent_token(request)
    if not token:
        raise CsrfError(_MISSING)
    secret = request.session.get(KEY)
    if secret is None or not _carries(token, secret):
        raise CsrfError(_EXPIRED)


def csrf_protect(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``handler`` with :func:`check_csrf` before it, for all methods but those that change nothing."""

    @wraps(handler)
    def checked(request: Request, *args: Any, **params: Any) -> Any:
        if request.method not in SAFE:
            check_csrf(request)
        return handler(request, *args, **params)

    return checked


def _is_from_here(request: Request) -> bool:
    """Return whether the browser says that a page of ours sent the request, or says nothing.

    Sec-Fetch-Site is what it says itself. Where it does not, because it is old or there is no TLS, the
    Origin must have our host; the scheme is not compared, as TLS may end in front of us.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITES
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, authority = origin.lower().partition("://")
    port = {"http": ":80", "https": ":443"}.get(scheme, "")
    return authority.removesuffix(port) == request.host.lower().removesuffix(port)


def _sent_token(request: Request) -> str:
    token = request.headers.get(HEADER)
    if token is not None:
        return token
    try:
        return request.form.get(FIELD, "")
    except HttpError as error:
        if error.status != 415:
            raise
        return ""  # the body is no form, and so has no field


def _carries(token: str, secret: str) -> bool:
    """Return whether a token is this secret under any mask."""
    try:
        sent = bytes.fromhex(token)
    except ValueError:
        return False
    mask, masked = sent[:_SECRET], sent[_SECRET:]
    return len(sent) == 2 * _SECRET and compare_digest(_xor(mask, masked), bytes.fromhex(secret))


def _xor(mask: bytes, value: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(mask, value, strict=True))
