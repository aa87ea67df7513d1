"""lrtest: which worker answers, and for which time?

Start a few, each with a label, and see how the calls spread over them::

    lrwp worker apps.lrtest:app --label ONE

Environment variables:

* ``LRWP_LABEL``: what the process calls itself; ``lrwp worker`` sets it from ``--label``.
* ``LRTEST_CALLS``: after how many calls the process leaves for good; 0, the default, for never.

``/lrtest?sleep=0.5`` keeps its worker busy for half a second, so that others have to wait.
"""

import math
import os
import time
from html import escape
from itertools import count
from pathlib import Path
from string import Template

from worker import Application, HttpError, Request

LABEL = os.environ.get("LRWP_LABEL") or str(os.getpid())
CALLS = int(os.environ.get("LRTEST_CALLS") or 0)
LONGEST_SLEEP = 10.0
PAGE = Template(Path(__file__).with_name("page.html").read_text())

app = Application("lrtest")
calls = count(1)  # next() on it is one step, so that threads count right as well


@app.get("/")
def show(request: Request) -> str:
    """Count this call, and say who took it."""
    call = next(calls)
    if call == CALLS:
        app.retire()
    time.sleep(read_sleep(request.query.get("sleep", "0")))
    return PAGE.substitute(label=escape(LABEL), process=os.getpid(), call=call)


def read_sleep(text: str) -> float:
    """Return the seconds that ``text`` asks for, 0 to 10; anything else is the visitor's mistake: 400."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_SLEEP:
        raise HttpError(400, f"Write sleep as seconds, from 0 to {LONGEST_SLEEP:.0f}.")
    return seconds
