from __future__ import annotations

from datetime import date
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wtforms.validators import ValidationError

from tests.worker.forms.pages import Page, client_of
from worker import Application, Response
from worker.errors import ContentError
from worker.filling import fill
from worker.forms import (
    Check,
    Choice,
    Date,
    Entry,
    EnumChoice,
    Form,
    Formlet,
    Hidden,
    InputError,
    Integer,
    ListOf,
    Memo,
    Nullable,
    Pick,
    Secret,
    Text,
    Upload,
)
from worker.templates import Templates


class State(Enum):
    OPEN = 1
    DONE = 2


class TaskForm(Form):
    title = Entry("Title", Text(most=20))
    due = Entry("Due on", Nullable(Date()))
    state = Pick("State", EnumChoice(State))
    notes = Memo("Notes", Nullable(Text()))
    version = Hidden("Version", Integer())


TASK = {"title": "Sow", "due": date(2024, 2, 29), "state": State.OPEN, "notes": None, "version": 1}


class Edit(Formlet):
    form = TaskForm
    heading = "A task"
    tasks: dict

    def load(self):
        return self.tasks.get(int(self.id))

    def save(self, data):
        if data["title"] == "taken":
            raise InputError("There is a task of this title already.", "title")
        if data["version"] != self.loaded["version"]:
            raise InputError("Somebody else has changed this task meanwhile.")
        self.tasks[int(self.id)] = data
        return f"/task/{self.id}"


@pytest.fixture
def tasks() -> dict:
    return {7: dict(TASK)}


@pytest.fixture
def client(tasks):
    return client_of(type("EditTask", (Edit,), {"tasks": tasks}), "/task/{id}")


def send(client, typed, path="/task/7"):
    form = fill(client.get(path).text, typed)
    return client.request(form.method, form.action or path, form=form.fields)


# ── Show, check, save, show again ────────────────────────────────────────────────────────────────────


def test_get_shows_the_form_with_what_is_there(client):
    result = client.get("/task/7")
    page = Page(result.text)
    assert result.status == 200
    assert (page.value("title"), page.value("due"), page.chosen("state")) == ("Sow", "2024-02-29", ["OPEN"])
    assert (page.value("notes"), page.value("version")) == ("", "1")


def test_post_saves_and_redirects(client, tasks):
    result = send(client, {"title": "Mow", "due": "", "state": "DONE", "notes": "the\nlawn"})
    assert (result.status, result.headers["location"]) == (303, "/task/7")
    assert tasks[7] == {"title": "Mow", "due": None, "state": State.DONE, "notes": "the\nlawn", "version": 1}


def test_a_form_that_is_sent_as_it_was_shown_changes_nothing(client, tasks):
    assert send(client, {}).status == 303
    assert tasks == {7: TASK}


def test_an_error_shows_exactly_what_was_typed_with_the_error_beside_it(client, tasks):
    result = send(client, {"title": ' more than <20> "characters" ', "due": "soon", "notes": "\r\n a\r\n"})
    page = Page(result.text)
    assert result.status == 422
    assert page.value("title") == ' more than <20> "characters" '
    assert page.value("due") == "soon"
    assert page.value("notes").replace("\r\n", "\n") == "\n a\n"
    assert page.by_id("title-errors")[2] == "Please write at most 20 characters; there are 27 now."
    assert page.by_id("due-errors")[2] == "Please write a date as year-month-day, such as 2024-02-29."
    assert "Not saved yet: A task" in result.text
    assert tasks == {7: TASK}


def test_a_form_that_was_shown_again_can_be_sent(client, tasks):
    again = send(client, {"title": ""})
    form = fill(again.text, {"title": "Mow"})
    assert client.post("/task/7", form=form.fields).status == 303
    assert tasks[7]["title"] == "Mow"


def test_an_error_while_saving_is_shown_beside_its_element(client, tasks):
    result = send(client, {"title": "taken"})
    page = Page(result.text)
    assert (result.status, page.value("title")) == (422, "taken")
    assert page.by_id("title-errors")[2] == "There is a task of this title already."
    assert page.by_id("title")[1]["aria-invalid"] == "true"
    assert tasks == {7: TASK}


def test_an_error_about_the_form_as_a_whole_is_shown_above_it(client, tasks):
    shown = client.get("/task/7").text
    tasks[7]["version"] = 2
    result = client.post("/task/7", form=fill(shown, {"title": "Mow"}).fields)
    assert result.status == 422
    assert "<li>Somebody else has changed this task meanwhile.</li>" in result.text
    assert Page(result.text).value("title") == "Mow"


def test_what_was_written_before_an_error_while_saving_is_rolled_back(client):
    class FakeConnection:
        rolled_back = 0

        def rollback(self):
            self.rolled_back += 1

    connection = FakeConnection()
    with_database = client_of(type("EditTask", (Edit,), {"tasks": {7: TASK}, "db": connection}), "/task/{id}")
    assert send(with_database, {"title": "taken"}).status == 422
    assert connection.rolled_back == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_a_404(client, method):
    form = fill(client.get("/task/7").text, {}).fields
    assert client.request(method, "/task/8", form=form).status == 404


def test_a_state_that_is_not_offered_is_refused(client, tasks):
    fields = [(n, "GONE" if n == "state" else v) for n, v in fill(client.get("/task/7").text, {}).fields]
    result = client.post("/task/7", form=fields)
    assert result.status == 422
    assert Page(result.text).by_id("state-errors")[2] == "Please choose one of the options."
    assert tasks == {7: TASK}


def test_head_and_other_methods_are_answered_as_for_any_servlet(client):
    assert (client.head("/task/7").status, client.head("/task/7").body) == (200, b"")
    assert client.put("/task/7").status == 405
    assert client.options("/task/7").headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_page_with_a_form_stays_out_of_shared_caches(client):
    assert client.get("/task/7").headers["cache-control"] == "private, no-cache"


def test_the_plain_page_is_complete_and_needs_no_script(client):
    text = client.get("/task/7").text
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert "<title>A task</title>" in text
    assert "<button>Save</button>" in text
    assert not {"script", "iframe", "img"} & {tag for tag, _ in page.elements}
    for element_id in ("title", "due", "state", "notes"):
        assert [1 for tag, attributes in page.elements if attributes.get("for") == element_id] == [1]


# ── CSRF ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_posted_without_its_token_is_refused(client, tasks):
    fields = [
        pair for pair in fill(client.get("/task/7").text, {"title": "Mow"}).fields if pair[0] != "csrf_token"
    ]
    assert client.post("/task/7", form=fields).status == 403
    assert tasks == {7: TASK}


def test_a_form_posted_with_the_token_of_another_session_is_refused(client, tasks):
    other = client_of(type("EditTask", (Edit,), {"tasks": tasks}), "/task/{id}")
    form = fill(other.get("/task/7").text, {"title": "Mow"})
    client.get("/task/7")
    assert client.post("/task/7", form=form.fields).status == 403
    assert tasks == {7: TASK}


def test_a_form_posted_from_another_site_is_refused(client, tasks):
    form = fill(client.get("/task/7").text, {"title": "Mow"})
    assert client.post("/task/7", form=form.fields, headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    assert tasks == {7: TASK}


def test_who_has_no_token_learns_nothing_about_what_is_there(client):
    assert client.post("/task/8", form={}).status == client.post("/task/7", form={}).status == 403


def test_ten_thousand_fields_are_refused(client, tasks):
    fields = fill(client.get("/task/7").text, {}).fields
    assert client.post("/task/7", form=[*fields, *[("x", "")] * 10_000]).status == 400
    assert tasks == {7: TASK}


def test_what_is_no_form_is_refused(client):
    assert client.post("/task/7", json={"title": "x"}).status == 403


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────


class PictureForm(Form):
    title = Entry("Title")
    picture = Upload("Picture", most=10)
    second = Upload("Second", is_optional=True)


@pytest.fixture
def pictures() -> list:
    return []


@pytest.fixture
def gallery(pictures):
    class Add(Formlet):
        form = PictureForm

        def save(self, data):
            file = data["picture"]
            pictures.append((data["title"], file.name, file.content, data["second"]))
            return "/"

    return client_of(Add)


def upload(gallery, *files):
    form = fill(gallery.get("/form").text, {"title": "<Beach>"})
    return gallery.post("/form", form=form.fields, files=files)


def test_a_file_is_sent_with_the_form(gallery, pictures):
    assert upload(gallery, ("picture", ("beach.png", b"\x89PNG"))).status == 303
    assert pictures == [("<Beach>", "beach.png", b"\x89PNG", None)]
    assert 'enctype="multipart/form-data"' in gallery.get("/form").text


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("picture", ("", b""))], "Please choose a file."),
        ([("title", ("beach.png", b"x"))], "Please choose a file."),
        ([("picture", ("beach.png", b"12345678901"))], "of at most 10 bytes; this one has 11."),
        ([("picture", ("a.png", b"x")), ("picture", ("b.png", b"x"))], "Please choose one file."),
    ],
)
def test_a_wrong_file_shows_the_form_again(gallery, pictures, files, sentence):
    result = upload(gallery, *files)
    page = Page(result.text)
    assert (result.status, page.value("title"), pictures) == (422, "<Beach>", [])
    assert page.by_id("picture-errors")[2].endswith(sentence)


def test_a_form_that_should_have_files_and_came_without_is_shown_again(gallery):
    assert gallery.post("/form", form=fill(gallery.get("/form").text, {"title": "x"}).fields).status == 422


def test_a_form_with_files_needs_its_token_too(gallery, pictures):
    files = {"picture": ("beach.png", b"x")}
    assert gallery.post("/form", form={"title": "x"}, files=files).status == 403
    assert pictures == []


def test_ten_thousand_files_are_refused(gallery, pictures):
    assert upload(gallery, *[("picture", ("x", b"x"))] * 10_000).status in {400, 413}
    assert pictures == []


# ── What a program chooses ───────────────────────────────────────────────────────────────────────────


class Small(Form):
    title = Entry("Title")


def test_a_page_of_ones_own_may_be_around_the_form():
    templates = Templates(
        {
            "frame": "<body>{% block main %}{% endblock %}</body>",
            "edit": "{% extends 'frame' %}{% block main %}<h2>{{ heading }} for {{ who }}</h2>"
            "<form method=post action='?'>{{ csrf }}{{ form.title.label }}{{ form.title }}"
            "<button>{{ button }}</button></form>{% endblock %}",
        }
    )

    class Add(Formlet):
        form = Small
        template = templates["edit"]
        heading = "Add"
        button = "Go"

        def context(self):
            return {"who": "<you>"}

        def save(self, data):
            return f"/{data['title']}"

    client = client_of(Add)
    text = client.get("/form").text
    assert text.startswith("<body><h2>Add for &lt;you&gt;</h2>")
    assert "<button>Go</button>" in text
    form = fill(text, {"title": "x"})
    assert client.post("/form", form=form.fields).headers["location"] == "/x"
    assert fill(client.post("/form", form=fill(text, {}).fields).text, {"title": "y"}).action == "?"


def test_save_may_return_a_response_of_its_own():
    class Add(Formlet):
        form = Small

        def save(self, data):
            return Response("made", 201)

    result = send(client_of(Add), {"title": "x"}, "/form")
    assert (result.status, result.text) == (201, "made")


def test_save_must_say_where_to_go():
    class Add(Formlet):
        form = Small

        def save(self, data):
            pass

    with pytest.raises(ContentError, match=r"Add\.save must return where to go on, not None"):
        send(client_of(Add), {"title": "x"}, "/form")


def test_a_formlet_that_cannot_save_says_so():
    class Add(Formlet):
        form = Small

    with pytest.raises(NotImplementedError):
        send(client_of(Add), {"title": "x"}, "/form")


def test_a_formlet_needs_sessions():
    app = Application("test")
    app.servlet("/form")(type("Add", (Formlet,), {"form": Small}))
    from worker.testing import Client

    with pytest.raises(Exception, match="this application has no sessions: wrap it with Sessions"):
        Client(app).get("/form")


# ── Whatever is typed is text ────────────────────────────────────────────────────────────────────────


def be_wrong(form, element):
    raise ValidationError(f"{element.raw_data} is wrong.")


class EveryForm(Form):
    """All elements, and all wrong whatever is typed: so pages of it differ in nothing but texts."""

    line = Entry("Line", Nullable(Text()), description="hint", validators=[be_wrong])
    number = Entry("Number", Nullable(Integer()), validators=[be_wrong])
    day = Entry("Day", Nullable(Date()), validators=[be_wrong])
    lines = Memo("Lines", Nullable(Text()), validators=[be_wrong])
    several = Memo("Several", ListOf(Text()), validators=[be_wrong])
    hidden = Hidden("Hidden", Nullable(Text()), validators=[be_wrong])
    one = Pick("One", Nullable(Choice(["a", "b"])), validators=[be_wrong])
    button = Pick("Button", Nullable(Choice(["a", "b"])), buttons=True, validators=[be_wrong])
    boxes = Pick("Boxes", ListOf(Choice(["a", "b"])), validators=[be_wrong])
    box = Check("Box", validators=[be_wrong])
    secret = Secret("Secret", Nullable(Text()), validators=[be_wrong])


KEPT = ["line", "number", "day", "lines", "several", "hidden"]
NAMES = [*KEPT, "one", "button", "boxes", "box", "secret"]
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><style>*{display:none}</style>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus=alert(1) autofocus='",
    '" autofocus onfocus="alert(1)',
    "</textarea></select></option></form><form action=//evil>",
    "--><!-- <![CDATA[",
    "&lt;b&gt; &#60;b&#62; &amp;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "`<>\"'=/",
    "\n\n<b>",
]


class Every(Formlet):
    form = EveryForm
    heading = "Every"
    values: dict

    def load(self):
        return self.values


CLIENT = client_of(type("Empty", (Every,), {"values": {}}))
EMPTY = CLIENT.get("/form").text


def answer_to(typed: dict) -> Page:
    """The page that shows the form again after all of this was typed."""
    result = CLIENT.post("/form", form=[fill(EMPTY, {}).fields[0], *typed.items()])
    assert result.status == 422
    return Page(result.text)


def skeleton(page: Page) -> list:
    """The page's elements and attributes; which options are chosen is for what was typed to say."""
    chosen = {"checked", "selected"}
    return [(tag, [name for name in names if name not in chosen]) for tag, names in page.skeleton]


PLAIN = skeleton(answer_to(dict.fromkeys(NAMES, "x")))

texts = st.sampled_from(HOSTILE) | st.text() | st.text(st.sampled_from("<>\"'&=/ \r\n\0abx-!;#"))


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, texts)))
def test_whatever_is_sent_a_page_gets_no_new_element_or_attribute(typed):
    assert skeleton(answer_to(typed)) == PLAIN


def as_parsed(text: str) -> str:
    """What a parser makes of a text: every new line is LF; a lone surrogate was never UTF-8."""
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(KEPT, texts)))
def test_whatever_is_sent_is_shown_again_as_it_was(typed):
    page = answer_to({**dict.fromkeys(NAMES, "x"), **typed})
    for name, text in typed.items():
        assert as_parsed(page.value(name)) == as_parsed(text)


@settings(deadline=None)
@given(texts, texts, texts)
def test_whatever_is_stored_is_shown_as_text(line, lines, hidden):
    values = {"line": line, "lines": lines, "hidden": hidden}
    page = Page(client_of(type("Stored", (Every,), {"values": values})).get("/form").text)
    assert page.skeleton == Page(EMPTY).skeleton
    for name, text in values.items():
        assert as_parsed(page.value(name)) == as_parsed(text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_options_labels_and_headings_are_text_too(hostile):
    def page_with(text: str) -> Page:
        class Own(Form):
            one = Pick(text, Choice([text, "b"]), description=text)
            button = Pick(text, Choice([text, "b"]), buttons=True, nothing=text)
            boxes = Pick(text, ListOf(Choice({text: text})))
            entry = Entry(text, description=text, render_kw={"placeholder": text})

        formlet = type("Own", (Formlet,), {"form": Own, "heading": text, "button": text})
        return Page(client_of(formlet).get("/form").text)

    page, plain = page_with(hostile), page_with("plain")
    assert page.skeleton == plain.skeleton
    assert as_parsed(hostile) in [as_parsed(text) for text in page.texts]
