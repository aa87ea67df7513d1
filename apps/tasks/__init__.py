"""tasks: a task list and a date book, and in them each way to answer a request.

With a dispatcher running, start it, and open http://127.0.0.1:8080/tasks::

    lrwp worker apps.tasks:app --database sqlite:///tasks.db

``postgresql://user@host/name`` does as well. The first worker makes the tables.

* a servlet, a class for a thing, with a method for each method of HTTP: :class:`Tasks`;
* a service, a class for a folder, where ``POST /task/7/finish`` calls ``post_finish()``: :class:`Task`;
* Formlets, servlets that show a form, check it and save it: :class:`EditTask` and :class:`Day`;
* functions, with what the address says as their arguments: :func:`month` and :func:`remove`;
* the guard, which nothing below mentions: leave out a ``commit()``, and what was written before it is rolled
  back, the visitor is told that something went wrong, and the log names the method that forgot.

Whoever can open the page may change what is on it. For a login see :mod:`apps.portal`.
"""

from __future__ import annotations

import enum
from calendar import Calendar
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy import Column, Table

from worker import (
    Application,
    Form,
    Formlet,
    HttpError,
    Response,
    Servlet,
    Sessions,
    Templates,
    csrf_protect,
    redirect,
)
from worker.csrf import csrf_field
from worker.forms import Choice, Conversion, Date, Entry, EnumChoice, Memo, Nullable, Pick, Text

if TYPE_CHECKING:
    from worker import Request

app = Application("tasks")
app.wrap(Sessions())  # in the database, too; csrf_protect keeps its secret there
app.wrap(csrf_protect)
templates = Templates(".", values={"csrf_field": csrf_field, "today": date.today})


class State(enum.Enum):
    """How far a task is."""

    OPEN = enum.auto()
    WAITING = enum.auto()
    FINISHED = enum.auto()


PRIORITIES = {1: "high", 2: "normal", 3: "low"}
FIRST, LAST = date(1900, 1, 1), date(2999, 12, 31)  # the days that the date book has

# ── Tables ───────────────────────────────────────────────────────────────────────────────────────────
# Ids have as many digits as a number in an address. None is given twice, for a page that has been open for
# long must not finish another task than it shows; PostgreSQL needs not be told.

NUMBER = sql.BigInteger().with_variant(sql.Integer, "sqlite")

tables = sql.MetaData()
task = Table(
    "task",
    tables,
    Column("id", NUMBER, primary_key=True),
    Column("entry", sql.Text, nullable=False),
    Column("due", sql.Date, index=True),
    Column("memo", sql.Text),
    Column("priority", sql.Integer, nullable=False, default=2),
    Column("state", sql.Enum(State, native_enum=False), nullable=False, default=State.OPEN),
    sqlite_autoincrement=True,
)
appointment = Table(
    "appointment",
    tables,
    Column("id", NUMBER, primary_key=True),
    Column("day", sql.Date, nullable=False, index=True),
    Column("at", sql.Time),
    Column("entry", sql.Text, nullable=False),
    sqlite_autoincrement=True,
)


@app.on_start
def make_tables() -> None:
    """Make the tables that are not there; several workers may start at the same time."""
    with app.database.exclusively() as db:
        tables.create_all(db)


# ── Forms ────────────────────────────────────────────────────────────────────────────────────────────


class Time(Conversion):
    """A time of day: what the toolkit has no conversion for, an application writes itself."""

    attributes: Mapping[str, Any] = {"type": "time"}

    def read(self, text: str) -> time:
        """Return the time that ``text`` stands for."""
        try:
            return datetime.strptime(text, "%H:%M").time()
        except ValueError:
            raise ValueError("Please write a time as hours and minutes, such as 14:30.") from None

    def write(self, value: time) -> str:
        """Return the text that stands for a time."""
        return f"{value:%H:%M}"


class NewTask(Form):
    """What is asked of a task at first."""

    entry = Entry("What is to be done?", Text(most=200))
    due = Entry("Due on", Nullable(Date(FIRST, LAST)))


class TaskForm(NewTask):
    """All that can be said of a task."""

    memo = Memo("Memo", Nullable(Text(most=4000)))
    priority = Pick("Priority", Choice(PRIORITIES), buttons=True)
    state = Pick("State", EnumChoice(State))


class AppointmentForm(Form):
    """An appointment, on a day that is known."""

    at = Entry("At", Nullable(Time()))
    entry = Entry("What happens?", Text(most=200))


# ── The task list ────────────────────────────────────────────────────────────────────────────────────


@app.servlet("/")
class Tasks(Servlet):
    """The task list: GET shows it, POST adds to it."""

    def get(self) -> Response:
        """Show the list."""
        return self.show(NewTask.filled(self.request))

    def post(self) -> Response:
        """Add a task, or show the list with what is wrong with it."""
        form = NewTask.sent(self.request)
        if not form.validate():
            return self.show(form, 422)
        self.db.execute(sql.insert(task).values(form.data))
        self.db.commit()
        return redirect(self.request.url_for("Tasks"))

    def show(self, form: Form, status: int = 200) -> Response:
        """Return the page: what is to be done, the most urgent first, and what was finished last."""
        is_finished = task.c.state == State.FINISHED
        urgency = task.c.due.nulls_last(), task.c.priority, task.c.id
        page = templates["list.html"].pieces(
            request=self.request,
            form=form,
            unfinished=self.db.execute(sql.select(task).where(~is_finished).order_by(*urgency)).all(),
            finished=self.db.execute(
                sql.select(task).where(is_finished).order_by(task.c.id.desc()).limit(20)
            ).all(),
        )
        return Response(page, status)


@app.service("/task/{number:int}/")
class Task(Servlet):
    """A task, and what can be done with it."""

    number: int

    def get(self) -> Any:
        """Show all of it."""
        shown = find_task(self.request, self.number)
        if shown is None:
            raise HttpError(404)
        return templates["task.html"].pieces(request=self.request, task=shown, priorities=PRIORITIES)

    def post_finish(self) -> Response:
        """Mark it as finished."""
        return self.change(sql.update(task).values(state=State.FINISHED))

    def post_delete(self) -> Response:
        """Delete it."""
        return self.change(sql.delete(task))

    def change(self, statement: sql.Update | sql.Delete) -> Response:
        """Apply a statement to this task, and go on to the list."""
        if not self.db.execute(statement.where(task.c.id == self.number)).rowcount:
            raise HttpError(404)
        self.db.commit()
        return redirect(self.request.url_for("Tasks"))


@app.servlet("/task/{number:int}/edit")
class EditTask(Formlet):
    """The form of a task."""

    form = TaskForm
    template = templates["edit.html"]
    heading = "Edit the task"
    number: int

    def load(self) -> Any:
        """Return what the form begins with; without it, the answer is a 404."""
        return find_task(self.request, self.number)

    def save(self, data: dict[str, Any]) -> str:
        """Save what was typed, and say where to go on."""
        self.db.execute(sql.update(task).where(task.c.id == self.number).values(data))
        self.db.commit()
        return self.request.url_for("Task", number=self.number)


def find_task(request: Request, number: int) -> Any:
    """Return a task; None if there is none of this number."""
    return request.db.execute(sql.select(task).where(task.c.id == number)).one_or_none()


# ── The date book ────────────────────────────────────────────────────────────────────────────────────


@app.get("/month/{day:date}")
def month(request: Request, day: date) -> Any:
    """Show the month that a day is in."""
    if not FIRST <= day <= LAST:
        raise HttpError(404)
    weeks = Calendar().monthdatescalendar(day.year, day.month)
    first = day.replace(day=1)
    return templates["month.html"].pieces(
        request=request,
        first=first,
        before=first - timedelta(days=1),
        after=first + timedelta(days=31),
        weeks=weeks,
        **entries(request, weeks[0][0], weeks[-1][-1]),
    )


@app.servlet("/day/{day:date}")
class Day(Formlet):
    """A page of the date book, with a form for one more appointment."""

    form = AppointmentForm
    template = templates["day.html"]
    day: date

    def load(self) -> dict[str, Any] | None:
        """Return what the form begins with; without it, the answer is a 404."""
        return {} if FIRST <= self.day <= LAST else None

    def save(self, data: dict[str, Any]) -> str:
        """Add the appointment, and show the day again."""
        self.db.execute(sql.insert(appointment).values(day=self.day, **data))
        self.db.commit()
        return self.request.url_for("Day", day=self.day)

    def context(self) -> dict[str, Any]:
        """Return what else is on the page."""
        return {"day": self.day, **entries(self.request, self.day, self.day)}


@app.post("/appointment/{number:int}/remove")
def remove(request: Request, number: int) -> Response:
    """Remove an appointment, and show its day again."""
    removal = sql.delete(appointment).where(appointment.c.id == number).returning(appointment.c.day)
    day = request.db.execute(removal).scalar_one_or_none()
    if day is None:
        raise HttpError(404)
    request.db.commit()
    return redirect(request.url_for("Day", day=day))


def entries(request: Request, first: date, last: date) -> dict[str, Any]:
    """Return the appointments, and the tasks that are due, from one day to another: lists by day."""

    def by_day(table: Table, day: Column[date], *order: sql.ColumnElement[Any]) -> dict[date, list[Any]]:
        found = defaultdict(list)
        for row in request.db.execute(sql.select(table).where(day.between(first, last)).order_by(*order)):
            found[row._mapping[day]].append(row)
        return found

    return {
        "appointments": by_day(appointment, appointment.c.day, appointment.c.at.nulls_first()),
        "tasks": by_day(task, task.c.due, task.c.priority, task.c.id),
    }
