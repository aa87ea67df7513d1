"""Sessions: what is remembered of a browser from one request to the next, in a store that all workers reach.

::

    app.wrap(Sessions("sqlite:///shop.db"))          # or postgresql://…, redis://…, or nothing for --database

    request.session["basket"] = [7, 9]               # JSON values; the first one makes the session
    request.session.rotate()                         # at a login: the same session under a new id
    request.session.clear()                          # at a logout: the session ends

Nobody who does not need a session has one: there is no cookie and no row until something is stored.
"""

from worker.sessions.session import Session, SessionError
from worker.sessions.sessions import Sessions
from worker.sessions.store import Held, SessionBusyError, Store

__all__ = ["Held", "Session", "SessionBusyError", "SessionError", "Sessions", "Store"]
