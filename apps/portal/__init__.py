"""portal: a home page, a login and a logout, and a page for those who have logged in.

Who may log in is in an environment variable, with a hash in the place of each password; ``python -m
apps.portal`` asks for a password and writes what stands for it. With a dispatcher running, start it, and open
http://127.0.0.1:8080/portal::

    export PORTAL_PEOPLE="$(python -m apps.portal ann) $(python -m apps.portal bob)"
    lrwp worker apps.portal:app --database sqlite:///portal.db

The database is for the sessions alone; ``postgresql://`` does as well, and ``sqlite://`` keeps them in the
memory of the worker.

Most of what makes a login safe is the toolkit's. Left to the application is this: whoever logs in gets a new
session id, nobody is sent on to another site, and a name that nobody has takes as long to be refused as a
wrong password. Nothing here slows down who tries one password after another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import wraps
from hashlib import scrypt
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from worker import Application, Form, Formlet, Response, Sessions, Templates, csrf_protect, redirect
from worker.csrf import csrf_field
from worker.errors import StartError
from worker.forms import Entry, InputError, Secret, Text

if TYPE_CHECKING:
    from worker import Request

COST: Final = {"n": 2**14, "r": 8, "p": 5}
"""Of scrypt: a guess takes 16 MiB, and 0.18 s of one core where it was measured; so does each login."""

HERE: Final = re.compile(r"/(?!/)[!-\[\]-~]*")
"""An address on this host: a path in ASCII, without the two slashes, or the backslash that browsers take for
one, behind which another host would be named."""

app = Application("portal")
app.wrap(Sessions())
app.wrap(csrf_protect)
templates = Templates(".", values={"csrf_field": csrf_field})
people: dict[str, tuple[bytes, bytes]] = {}


@app.on_start
def read_people() -> None:
    """Read who may log in: ``name:salt:hash`` of each, with spaces between."""
    try:
        for person in os.environ.get("PORTAL_PEOPLE", "").split():
            name, salt, hashed = person.split(":")
            people[name] = bytes.fromhex(salt), bytes.fromhex(hashed)
    except ValueError:
        people.clear()
    if not people:
        raise StartError("PORTAL_PEOPLE must say who may log in: write it with python -m apps.portal NAME")


def hash_password(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return scrypt(password.encode(), salt=salt, **COST)


def is_right(name: str, password: str) -> bool:
    """Return whether this is the password of somebody of this name."""
    salt, expected = people.get(name, (b"nobody", b""))
    return compare_digest(hash_password(password, salt), expected)


def for_people(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``handler`` for those who have logged in; the others may do so, and are sent back then."""

    @wraps(handler)
    def respond(request: Request, **parameters: Any) -> Any:
        if "name" not in request.session:
            return redirect(request.url_for("Login", then=request.normal_target))
        return handler(request, **parameters)

    return respond


def show(request: Request, page: str) -> Response:
    """Return a page; the "back" button of a browser does not show it again after a logout."""
    pieces = templates[page].pieces(request=request, session=request.session)
    return Response(pieces, headers={"Cache-Control": "no-store"})


@app.get("/")
def home(request: Request) -> Response:
    """Show everybody who they are."""
    return show(request, "home.html")


@app.get("/desk")
@for_people
def desk(request: Request) -> Response:
    """Show who has logged in how often they were here since."""
    request.session["visits"] += 1
    return show(request, "desk.html")


class Credentials(Form):
    """What somebody logs in with."""

    name = Entry("Name", Text(most=100), render_kw={"autocomplete": "username"})
    password = Secret("Password", Text(most=200), render_kw={"autocomplete": "current-password"})


@app.servlet("/login?{then}")
class Login(Formlet):
    """The login. The form is sent to the address that it is at, and so ``then`` comes back with it."""

    form = Credentials
    template = templates["login.html"]
    heading = button = "Log in"
    then = ""

    def save(self, data: dict[str, Any]) -> str:
        """Let somebody in, and say where to go on."""
        if not is_right(data["name"], data["password"]):
            raise InputError("This name and this password do not belong together.")
        self.session.rotate()
        self.session.update(name=data["name"], visits=0)
        return self.then if HERE.fullmatch(self.then) else self.request.url_for("home")


@app.post("/logout")
def logout(request: Request) -> Response:
    """End the session."""
    request.session.clear()
    return redirect(request.url_for("home"))
