"""Forms: what people type, checked, converted, and shown again with what is wrong beside it.

::

    class TaskForm(Form):
        title = Entry("Title", Text(most=80))
        due = Entry("Due on", Nullable(Date()))
        state = Pick("State", EnumChoice(State))
        notes = Memo("Notes", Nullable(Text()))

    @app.servlet("/task/{id:int}")
    class EditTask(Formlet):
        form = TaskForm
        heading = "A task"

        def load(self):
            return find_task(self.db, self.id)       # None is a 404

        def save(self, data):
            update_task(self.db, self.id, data)
            return self.request.url_for("tasks")     # where to go on

An element says how a value is typed, its conversion what may be typed and which value it stands for. Behind
them is WTForms, whose own fields and validators may be used beside these.
"""

from worker.forms.conversions import (
    Choice,
    Conversion,
    Date,
    EnumChoice,
    Integer,
    ListOf,
    Nullable,
    Option,
    Text,
)
from worker.forms.elements import Check, Element, Entry, Hidden, Memo, Secret
from worker.forms.errors import FormError, InputError
from worker.forms.form import Form
from worker.forms.formlet import Formlet
from worker.forms.pick import Pick
from worker.forms.upload import Upload

__all__ = [
    "Check",
    "Choice",
    "Conversion",
    "Date",
    "Element",
    "Entry",
    "EnumChoice",
    "Form",
    "FormError",
    "Formlet",
    "Hidden",
    "InputError",
    "Integer",
    "ListOf",
    "Memo",
    "Nullable",
    "Option",
    "Pick",
    "Secret",
    "Text",
    "Upload",
]
