from __future__ import annotations

from types import SimpleNamespace

import pytest
from wtforms import StringField
from wtforms.validators import ValidationError

from tests.worker.forms.pages import Page
from worker.fields import Fields
from worker.forms import (
    Check,
    Choice,
    Entry,
    Form,
    FormError,
    Hidden,
    InputError,
    Integer,
    Nullable,
    Pick,
    Text,
    Upload,
)
from worker.templates import Template


class TaskForm(Form):
    title = Entry("Title", Text(most=10), description="A <short> one")
    kind = Pick("Kind", Nullable(Choice(["a", "b"])), buttons=True)
    done = Check("Done")
    version = Hidden("Version", Integer())


def request(*fields, files=None) -> SimpleNamespace:
    return SimpleNamespace(form=Fields(fields), files=files)


def page_of(form) -> Page:
    return Page(str(Template("{{ form }}").pieces(form=form)))


def test_a_form_is_filled_from_a_mapping_or_from_attributes():
    values = {"title": "A", "kind": "b", "done": True, "version": 3}
    for source in (values, SimpleNamespace(**values)):
        form = TaskForm.filled(request(), source)
        assert form.data == values
        page = page_of(form)
        assert (page.value("title"), page.chosen("kind"), page.value("version")) == ("A", ["b"], "3")


def test_a_form_without_values_is_empty():
    assert TaskForm.filled(request()).data == {"title": None, "kind": None, "done": None, "version": None}


def test_what_was_sent_counts_and_nothing_else():
    form = TaskForm.sent(
        request(("title", "A"), ("version", "3"), ("owner", "me"), ("meta", "x"), ("data", "x"))
    )
    assert form.validate()
    assert form.data == {"title": "A", "kind": None, "done": False, "version": 3}


def test_a_form_may_check_one_element_and_all_of_them():
    class Stay(Form):
        first = Entry("First", Integer())
        last = Entry("Last", Integer())

        def validate_first(self, element):
            if element.data == 13:
                raise ValidationError("Not on this day.")

        def validate(self, extra_validators=None):
            if not super().validate(extra_validators):
                return False
            if self.last.data < self.first.data:
                self.form_errors.append("The last day must not be before the first.")
            return not self.form_errors

    form = Stay.sent(request(("first", "13"), ("last", "14")))
    assert not form.validate()
    assert form.errors == {"first": ["Not on this day."]}
    form = Stay.sent(request(("first", "5"), ("last", "4")))
    assert not form.validate()
    assert "The last day must not be before the first." in form.__html__()
    assert Stay.sent(request(("first", "4"), ("last", "5"))).validate()


def test_each_element_has_a_label_and_its_hint_is_tied_to_it():
    page = page_of(TaskForm.filled(request()))
    labels = {
        attributes["for"] for tag, attributes in page.elements if tag == "label" and "for" in attributes
    }
    assert labels == {"title", "done"}
    assert page.by_id("title")[1]["aria-describedby"] == "title-hint"
    assert page.by_id("title-hint")[2] == "A <short> one"
    assert "aria-invalid" not in page.by_id("title")[1]


def test_what_is_wrong_stands_beside_its_element_and_is_tied_to_it():
    form = TaskForm.sent(request(("title", "more than ten"), ("kind", "c"), ("version", "3")))
    form.validate()
    page = page_of(form)
    title, kind = page.by_id("title")[1], page.by_id("kind")[1]
    assert (title["aria-describedby"], title["aria-invalid"]) == ("title-hint title-errors", "true")
    assert (kind["aria-describedby"], kind["aria-invalid"]) == ("kind-errors", "true")
    assert page.by_id("title-errors")[2] == "Please write at most 10 characters; there are 13 now."
    assert page.by_id("kind-errors")[2] == "Please choose one of the options."


def test_what_is_wrong_is_summed_up_with_links_to_the_elements():
    form = TaskForm.sent(request(("title", ""), ("version", "")))
    form.validate()
    page = page_of(form)
    [alert] = [attributes for _, attributes in page.elements if attributes.get("role") == "alert"]
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert (alert["class"], links) == ("errors", ["#title"])
    assert "Version: Please fill this in." in str(form.__html__())
    assert "aria-invalid" not in page.by_id("version")[1]


def test_boxes_in_a_wrong_group_are_each_marked_as_a_group_cannot_be():
    from worker.forms import ListOf

    class Days(Form):
        days = Pick("Days", ListOf(Choice(["mon", "tue"]), least=1))

    form = Days.sent(request())
    form.validate()
    page = page_of(form)
    assert "aria-invalid" not in page.by_id("days")[1]
    assert page.by_id("days")[1]["aria-describedby"] == "days-errors"
    assert [attributes["aria-invalid"] for attributes in page.named("days")] == ["true", "true"]


def test_errors_that_come_up_while_saving_are_added():
    form = TaskForm.sent(request(("title", "A"), ("version", "3")))
    form.validate()
    form.refuse(InputError("There is one of this title.", "title"))
    form.refuse(InputError("It was changed by somebody else."))
    assert form.title.errors == ["There is one of this title."]
    assert form.form_errors == ["It was changed by somebody else."]
    with pytest.raises(FormError, match="TaskForm has no element owner, which an InputError names"):
        form.refuse(InputError("No.", "owner"))


def test_a_form_with_files_is_sent_in_parts():
    class WithFile(Form):
        file = Upload("File")

    assert WithFile.filled(request()).enctype == "multipart/form-data"
    assert TaskForm.filled(request()).enctype == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", ["data", "errors", "validate", "enctype", "sent", "Meta", "csrf_token"])
def test_an_element_cannot_hide_what_the_form_needs(name):
    for field in (Entry("X"), StringField("X")):
        with pytest.raises(
            FormError, match=f"XForm cannot have an element {name}: the form itself has {name}"
        ):
            type("XForm", (Form,), {name: field})


def test_forms_may_extend_each_other():
    class Longer(TaskForm):
        owner = Entry("Owner")

    assert [field.name for field in Longer.filled(request())] == ["title", "kind", "done", "version", "owner"]
