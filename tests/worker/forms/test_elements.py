from __future__ import annotations

from datetime import date
from enum import Enum

import pytest
from wtforms import BooleanField, HiddenField, IntegerField, RadioField, SelectChoice, StringField
from wtforms.validators import Length, ValidationError

from tests.worker.forms.pages import Page
from worker.fields import Fields
from worker.forms import (
    Check,
    Choice,
    Date,
    Entry,
    EnumChoice,
    Form,
    FormError,
    Hidden,
    Integer,
    ListOf,
    Memo,
    Nullable,
    Pick,
    Secret,
    Text,
    Upload,
)


class Day(Enum):
    MON = "m"
    TUE = "t"


class FakeUpload:
    def __init__(self, name, size=1):
        self.name = name
        self.size = size


class FakeRequest:
    def __init__(self, fields=(), files=None):
        self.form = Fields(fields)
        self.files = FakeFiles(files or {})


class FakeFiles:
    def __init__(self, files):
        self._files = files

    def getlist(self, name):
        return self._files.get(name, [])


def form_of(element) -> type[Form]:
    return type("OneForm", (Form,), {"x": element})


def filled(element, value=None) -> Page:
    """The page of a form with one element ``x``, filled with a value."""
    return Page(str(form_of(element).filled(FakeRequest(), {} if value is None else {"x": value}).x))


def sent(element, *texts, files=None) -> Form:
    """A form with one element ``x``, sent with these texts for it, and checked."""
    form = form_of(element).sent(FakeRequest([("x", text) for text in texts], files))
    form.validate()
    return form


def shown_again(element, *texts) -> Page:
    return Page(str(sent(element, *texts).x))


# ── Entry ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_is_a_line_of_text():
    [(tag, attributes)] = filled(Entry("Title", Text(most=80)), 'a "b"').elements
    assert (tag, attributes) == (
        "input",
        {"type": "text", "value": 'a "b"', "id": "x", "name": "x", "required": None, "maxlength": "80"},
    )


def test_an_entry_for_a_date_helps_to_choose_one():
    page = filled(Entry("Due", Nullable(Date(date(2024, 1, 1), date(2024, 12, 31)))), date(2024, 2, 29))
    [(_, attributes)] = page.elements
    assert {name: attributes.get(name) for name in ("type", "value", "min", "max")} == {
        "type": "date",
        "value": "2024-02-29",
        "min": "2024-01-01",
        "max": "2024-12-31",
    }
    assert "required" not in attributes


def test_an_entry_for_a_number_brings_up_digits():
    [(_, attributes)] = filled(Entry("Number", Integer()), 0).elements
    assert (attributes["type"], attributes["inputmode"], attributes["value"]) == ("text", "numeric", "0")


@pytest.mark.parametrize("conversion", [Text(), Integer(), Date(), Nullable(Date())])
def test_without_a_value_an_entry_is_empty(conversion):
    assert filled(Entry("X", conversion)).value("x") == ""


def test_spaces_around_what_is_entered_do_not_count():
    assert sent(Entry("X"), "  a b ").data == {"x": "a b"}
    assert sent(Entry("X", Integer()), " 12 ").data == {"x": 12}


@pytest.mark.parametrize("text", ["  12a ", "31.12.2024", "<b>'\""])
def test_what_was_typed_is_shown_again_as_it_was_typed(text):
    for conversion in (Integer(), Date(), Nullable(Date())):
        page = shown_again(Entry("X", conversion), text)
        assert (page.value("x"), page.by_id("x")[1]["type"]) == (text, "text")


def test_a_good_date_is_shown_again_in_an_input_for_dates():
    page = shown_again(Entry("X", Date()), "2024-02-29")
    assert (page.value("x"), page.by_id("x")[1]["type"]) == ("2024-02-29", "date")


@pytest.mark.parametrize(
    "text", ["a\0b", "a\nb", "a\r\nb", "a\x1bb", "a\x7fb", "a\x85b", "a\u2028b", "a\ud800b"]
)
def test_characters_that_no_line_can_have_are_refused(text):
    for element in (Entry("X"), Entry("X", Nullable(Text())), Secret("X"), Hidden("X")):
        assert sent(element, text).x.errors == [
            "There are characters in this that cannot be kept. Please type it anew."
        ]


def test_a_field_that_is_sent_twice_is_refused():
    for element in (
        Entry("X"),
        Memo("X"),
        Secret("X"),
        Hidden("X"),
        Check("X"),
        Pick("X", Choice(["a", "b"])),
    ):
        form = sent(element, "a", "b")
        assert (form.x.errors, form.x.data) == (["This was sent more than once."], None)


def test_a_field_that_is_not_sent_is_like_an_empty_one():
    assert sent(Entry("X", Nullable(Text()))).data == {"x": None}
    assert sent(Entry("X")).errors == {"x": ["Please fill this in."]}


def test_what_cannot_be_converted_is_no_value_and_reaches_no_validator():
    def never(form, field):
        raise AssertionError(field.data)

    form = sent(Entry("X", Integer(), validators=[never]), "y")
    assert (form.data, form.errors) == ({"x": None}, {"x": ["Please write a whole number, such as 12."]})


def test_validators_of_wtforms_check_the_value():
    def be_even(form, field):
        if field.data % 2:
            raise ValidationError("This must be even.")

    assert sent(Entry("X", Integer(), validators=[be_even]), "3").errors == {"x": ["This must be even."]}
    assert sent(Entry("X", Integer(), validators=[be_even]), "4").errors == {}


# ── Secret and Hidden ────────────────────────────────────────────────────────────────────────────────


def test_a_secret_is_never_shown_again_and_keeps_its_spaces():
    assert sent(Secret("X"), " open sesame ").data == {"x": " open sesame "}
    assert shown_again(Secret("X"), " open sesame ").value("x") == ""
    assert filled(Secret("X"), "old").value("x") == ""
    assert filled(Secret("X")).by_id("x")[1]["type"] == "password"


def test_a_hidden_value_comes_back_and_is_checked_like_all_others():
    [(tag, attributes)] = filled(Hidden("X", Integer()), 3).elements
    assert (tag, attributes) == ("input", {"type": "hidden", "value": "3", "id": "x", "name": "x"})
    assert sent(Hidden("X", Integer()), "3").data == {"x": 3}
    assert sent(Hidden("X", Integer()), "three").errors
    assert shown_again(Hidden("X", Date()), "three").elements == [
        ("input", {"type": "hidden", "value": "three", "id": "x", "name": "x"})
    ]


# ── Memo ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["a", "\na\n", "</textarea><script>", "&lt;", "\n\n", " a "])
def test_a_memo_shows_all_of_its_lines(text):
    assert filled(Memo("X"), text).value("x") == text


@pytest.mark.parametrize("typed", ["a\r\nb", "a\rb", "a\nb"])
def test_lines_are_divided_by_one_character_whatever_a_browser_sends(typed):
    assert sent(Memo("X", Text(3)), typed).data == {"x": "a\nb"}


def test_a_memo_keeps_tabs_and_spaces_and_refuses_control_characters():
    assert sent(Memo("X"), " a\t\r\n").data == {"x": " a\t\n"}
    assert sent(Memo("X"), "a\0").errors
    assert sent(Memo("X"), " \r\n").errors == {"x": ["Please fill this in."]}


def test_a_memo_can_be_a_list_with_a_value_on_each_line():
    memo = Memo("X", ListOf(Integer()))
    assert filled(memo, [1, 2]).value("x") == "1\n2"
    assert sent(memo, "1\r\n\r\n 2").data == {"x": [1, 2]}
    assert sent(memo, "").data == {"x": []}
    form = sent(memo, "1\r\ntwo")
    assert form.errors == {"x": ["Line 2: Please write a whole number, such as 12."]}
    assert Page(str(form.x)).value("x").splitlines() == ["1", "two"]


# ── Check ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_box_is_ticked_or_not():
    assert "checked" in filled(Check("X"), True).by_id("x")[1]
    assert "checked" not in filled(Check("X"), False).by_id("x")[1]
    assert "checked" not in filled(Check("X")).by_id("x")[1]
    assert sent(Check("X"), "yes").data == {"x": True}
    assert sent(Check("X")).data == {"x": False}
    assert "checked" in shown_again(Check("X"), "yes").by_id("x")[1]
    assert "checked" not in shown_again(Check("X")).by_id("x")[1]


@pytest.mark.parametrize("text", ["no", "true", "1", "YES"])
def test_a_box_sends_nothing_else(text):
    assert sent(Check("X"), text).errors == {"x": ["Please tick this or leave it."]}


# ── Pick ─────────────────────────────────────────────────────────────────────────────────────────────


ONE = Pick("X", EnumChoice(Day))
ONE_OR_NONE = Pick("X", Nullable(Choice({1: "One", 2: "<Two>"})))
BUTTONS = Pick("X", EnumChoice(Day), buttons=True)
BUTTONS_OR_NONE = Pick("X", Nullable(EnumChoice(Day)), buttons=True, nothing="<none>")
SEVERAL = Pick("X", ListOf(EnumChoice(Day)))


@pytest.mark.parametrize(
    ("pick", "value", "chosen"),
    [
        (ONE, Day.TUE, ["TUE"]),
        (ONE_OR_NONE, 2, ["2"]),
        (ONE_OR_NONE, None, [""]),
        (ONE, None, [""]),
        (BUTTONS, Day.TUE, ["TUE"]),
        (BUTTONS, None, []),
        (BUTTONS_OR_NONE, None, [""]),
        (BUTTONS_OR_NONE, Day.MON, ["MON"]),
        (SEVERAL, [Day.MON, Day.TUE], ["MON", "TUE"]),
        (SEVERAL, [], []),
        (SEVERAL, None, []),
    ],
)
def test_a_pick_shows_what_is_chosen(pick, value, chosen):
    assert filled(pick, value).chosen("x") == chosen


@pytest.mark.parametrize(
    ("pick", "texts", "value"),
    [
        (ONE, ["TUE"], Day.TUE),
        (ONE_OR_NONE, ["2"], 2),
        (ONE_OR_NONE, [""], None),
        (BUTTONS, ["MON"], Day.MON),
        (BUTTONS_OR_NONE, [""], None),
        (BUTTONS_OR_NONE, [], None),
        (SEVERAL, ["TUE", "MON"], [Day.TUE, Day.MON]),
        (SEVERAL, [], []),
    ],
)
def test_what_was_picked_is_the_value_and_stays_picked(pick, texts, value):
    form = sent(pick, *texts)
    assert (form.data, form.errors) == ({"x": value}, {})
    assert set(Page(str(form.x)).chosen("x")) >= set(texts)


@pytest.mark.parametrize(
    ("pick", "texts"),
    [
        (ONE, ["CLOSED"]),
        (ONE, ["m"]),
        (ONE, ["MON "]),
        (ONE, [""]),
        (ONE, []),
        (ONE, ["__class__"]),
        (ONE_OR_NONE, ["3"]),
        (ONE_OR_NONE, ["One"]),
        (BUTTONS, ["CLOSED"]),
        (BUTTONS, []),
        (BUTTONS_OR_NONE, ["CLOSED"]),
        (SEVERAL, ["MON", "CLOSED"]),
        (SEVERAL, ["MON", "MON"]),
        (SEVERAL, [""]),
    ],
)
def test_what_was_not_offered_cannot_be_picked(pick, texts):
    form = sent(pick, *texts)
    assert form.x.data is None
    assert len(form.x.errors) == 1
    assert form.x.errors[0].startswith("Please choose")
    assert len(Page(str(form.x)).chosen("x")) <= 1


def test_the_options_have_labels_that_are_text():
    page = filled(ONE_OR_NONE)
    assert [(tag, text) for (tag, _), text in zip(page.elements, page.texts, strict=True)] == [
        ("select", ""),
        ("option", "—"),
        ("option", "One"),
        ("option", "<Two>"),
    ]
    assert "<none>" in [text.strip() for text in filled(BUTTONS_OR_NONE).texts]


def test_nothing_is_offered_only_while_nothing_is_chosen_where_something_must_be():
    values = [attributes.get("value") for _, attributes in filled(ONE, Day.MON).elements[1:]]
    assert values == ["MON", "TUE"]
    values = [attributes.get("value") for _, attributes in filled(ONE).elements[1:]]
    assert values == ["", "MON", "TUE"]
    assert "required" in filled(ONE).by_id("x")[1]
    assert "required" not in filled(ONE_OR_NONE).by_id("x")[1]


def test_buttons_are_a_group_with_a_legend():
    page = filled(BUTTONS)
    assert [tag for tag, _ in page.elements] == ["fieldset", "legend", *["label", "input"] * 2]
    assert page.by_id("x")[1]["role"] == "radiogroup"
    assert page.texts[1].strip() == "X"
    assert {attributes["type"] for attributes in page.named("x")} == {"radio"}
    assert {attributes["type"] for attributes in filled(SEVERAL).named("x")} == {"checkbox"}


def test_a_value_that_is_no_option_any_more_is_not_shown_as_another():
    assert filled(ONE_OR_NONE, 7).chosen("x") == [""]
    assert filled(Pick("X", Choice(["a"])), "gone").chosen("x") == [""]


def test_an_option_may_have_spaces_around_it():
    assert sent(Pick("X", Choice([" a ", "a"])), " a ").data == {"x": " a "}


def test_options_come_from_the_request():
    pick = Pick("X", Choice(lambda request: [text for _, text in request.options]))

    class Request(FakeRequest):
        options = (("", "a"), ("", "b"))

    form = form_of(pick).sent(Request([("x", "b")]))
    assert form.validate()
    assert form.data == {"x": "b"}
    assert not form_of(pick).sent(Request([("x", "c")])).validate()


# ── Upload ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_comes_from_the_files_of_the_request():
    file = FakeUpload("a.pdf")
    assert sent(Upload("X"), files={"x": [file]}).data == {"x": file}


def test_a_text_is_never_taken_for_a_file_nor_a_file_for_a_text():
    assert sent(Upload("X"), "a.pdf").errors == {"x": ["Please choose a file."]}
    assert sent(Entry("X"), files={"x": [FakeUpload("a.pdf")]}).errors == {"x": ["Please fill this in."]}


@pytest.mark.parametrize("files", [None, {"x": []}, {"y": [FakeUpload("a")]}])
def test_no_file_is_none_where_that_is_allowed(files):
    assert sent(Upload("X", is_optional=True), files=files).data == {"x": None}
    assert sent(Upload("X"), files=files).errors == {"x": ["Please choose a file."]}


def test_files_may_be_too_large_or_too_many():
    form = sent(Upload("X", most=100), files={"x": [FakeUpload("a", 101)]})
    assert form.errors == {"x": ["Please choose a file of at most 100 bytes; this one has 101."]}
    assert sent(Upload("X", most=100), files={"x": [FakeUpload("a", 100)]}).errors == {}
    assert sent(Upload("X"), files={"x": [FakeUpload("a"), FakeUpload("b")]}).errors == {
        "x": ["Please choose one file."]
    }


def test_a_file_element_tells_the_browser_what_it_accepts():
    [(_, attributes)] = filled(Upload("X", accept=("image/*", ".pdf"), is_optional=True)).elements
    assert attributes == {"type": "file", "accept": "image/*,.pdf", "id": "x", "name": "x"}


# ── Beside WTForms' own ──────────────────────────────────────────────────────────────────────────────


def test_fields_of_wtforms_work_beside_elements():
    class Mixed(Form):
        one = Entry()
        two = StringField("Two", [Length(max=3)])
        three = IntegerField()
        four = BooleanField()
        five = HiddenField()
        six = RadioField(choices=[SelectChoice("a"), SelectChoice("b")])

    form = Mixed.sent(
        FakeRequest([("one", "1"), ("two", "abcd"), ("three", "3"), ("five", "5"), ("six", "a")])
    )
    assert not form.validate()
    assert form.data == {"one": "1", "two": "abcd", "three": 3, "four": False, "five": "5", "six": "a"}
    assert list(form.errors) == ["two"]
    page = Page(form.__html__())
    assert page.by_id("two")[1]["aria-invalid"] == "true"
    assert [a["type"] for n in ("one", "three", "four", "five") for a in page.named(n)] == [
        "text",
        "number",
        "checkbox",
        "hidden",
    ]


def test_an_element_takes_attributes_and_its_label_from_the_name():
    class Named(Form):
        first_name = Entry(render_kw={"autocomplete": "given-name"})

    form = Named.filled(FakeRequest())
    assert form.first_name.label.text == "First Name"
    assert Page(form.first_name(class_="wide", data_n=1)).elements[0][1].items() >= {
        ("autocomplete", "given-name"),
        ("class", "wide"),
        ("data-n", "1"),
    }


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Entry("X", ListOf(Text())), "Entry cannot show a list: use Memo for lines, or Pick"),
        (lambda: Secret("X", ListOf(Text())), "Secret cannot show a list"),
        (lambda: Pick("X"), "Pick has nothing to choose from"),
        (lambda: Pick("X", ListOf(Text())), "Pick has nothing to choose from"),
        (lambda: Entry("X", Date), "is no conversion: write one, such as Text"),
        (lambda: Memo("X", [Length(max=3)]), "is no conversion"),
        (lambda: Pick("X", ["a", "b"]), "is no conversion"),
    ],
)
def test_an_element_that_could_never_work_is_refused_where_it_is_written(make, sentence):
    with pytest.raises(FormError, match=sentence):
        make()
