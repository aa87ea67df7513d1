"""Login and logout: a session knows who edits, and nobody who only reads has one."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from apps.pages.editors import check_password, find_salt, has_editors
from apps.pages.guesses import WHILE, Guesses
from apps.pages.layout import SiteFormlet, templates
from apps.pages.site import refuse
from worker import Form, HttpError, Response, csrf_protect, redirect
from worker.csrf import SAFE
from worker.forms import Entry, InputError, Secret, Text

if TYPE_CHECKING:
    from worker import Request

_OWN_PATH: Final = re.compile(r"/(?![/\\])[!-~]*")
"""An address on this host: // and /\\ lead browsers to another one."""

_LONGEST: Final = 200
"""Most characters of a name or a password: more are nobody's, and each costs time."""


guesses: Final = Guesses()


class LoginNeededError(HttpError):
    """403: only editors may do this, and nobody has logged in, or not for an hour."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "You are not logged in, or no longer, so nothing was done. Go back and copy what you typed, "
            "log in, and paste it again.",
        )


def require_editor(request: Request) -> str:
    """Return the name of who edits.

    The salt ties a session to the password with which it began: with another one it is over.

    Raises:
        LoginNeededError: nobody has logged in.
    """
    name, salt = request.session.get("editor") or ("", "")
    if not salt or salt != find_salt(request.db, name):
        raise LoginNeededError
    return str(name)


def ask_for_login(request: Request, error: LoginNeededError) -> Response:
    """Send who wants to see something to the login and back; who sent something is told to keep it."""
    if request.method not in SAFE:
        return refuse(request, error)
    return redirect(request.url_for("Login", to=request.normal_target))


class LoginForm(Form):
    """Who somebody is."""

    name = Entry("Name", Text(_LONGEST), render_kw={"autocomplete": "username"})
    password = Secret("Password", Text(_LONGEST), render_kw={"autocomplete": "current-password"})


class Login(SiteFormlet):
    """The login.

    Attributes:
        to: where somebody wanted to go.
    """

    to = ""
    form = LoginForm
    template = templates["login.html"]
    heading = "Log in"
    button = "Log in"

    def load(self) -> dict[str, Any]:
        """Return an empty form.

        Raises:
            HttpError: 403, nobody can log in.
        """
        if not has_editors(self.db):
            raise HttpError(
                403,
                "Nobody can edit these pages yet: start the workers with a password for the editor in the "
                "environment variable PAGES_PASSWORD.",
            )
        return {}

    def context(self) -> dict[str, Any]:
        """Return what the layout needs, and for a demonstration what to type."""
        return {**super().context(), "is_demo": os.environ.get("PAGES_DEMO") == "yes"}

    def save(self, data: dict[str, Any]) -> str:
        """Begin an editor's session, with an id that nobody knew before.

        Raises:
            HttpError: 429, there were too many wrong logins.
            InputError: this is one.
        """
        if guesses.are_too_many:
            raise HttpError(
                429,
                "There were too many wrong logins. Please try again in a minute.",
                [("Retry-After", f"{WHILE:.0f}")],
            )
        salt = check_password(self.db, data["name"], data["password"])
        if not salt:
            guesses.note()
            raise InputError("The name or the password is wrong.")
        self.session.rotate()
        self.session["editor"] = [data["name"], salt]
        return self.to if _OWN_PATH.fullmatch(self.to) else self.request.url_for("list_pages")


@csrf_protect
def log_out(request: Request) -> Response:
    """End the session."""
    request.session.clear()
    return redirect(request.url_for("show_home"))
