from __future__ import annotations

import pytest

from worker.filling import fill

PAGE = """
<form action=/search><input type=search name=q value="<old>"></form>
<form method=POST action="/task/7">
  <input type=hidden name=token value=abc>
  <label>Title <input name=title value="a &amp; b"></label>
  <input name=quiet disabled value=x> <input value=nameless> <input type=submit name=go>
  <input type=file name=f>
  <textarea name=notes>
one
two</textarea>
  <select name=state><option value=open>Open<option value=done selected>Done</option></select>
  <select name=kind><option value=a>A</option><option value=b>B</option></select>
  <input type=radio name=size value=s> <input type=radio name=size value=m checked>
  <input type=checkbox name=days value=mon checked> <input type=checkbox name=days value=tue checked>
  <input type=checkbox name=box value=yes>
  <button name=button>Save</button>
</form>
<input name=outside>
"""

SHOWN = [
    ("token", "abc"),
    ("title", "a & b"),
    ("notes", "one\r\ntwo"),
    ("state", "done"),
    ("kind", "a"),
    ("size", "m"),
    ("days", "mon"),
    ("days", "tue"),
]


def sent(typed) -> list:
    """What is sent beyond, or instead of, what the page shows."""
    return [pair for pair in fill(PAGE, typed).fields if pair not in SHOWN]


def test_what_is_not_typed_is_sent_as_it_is_shown():
    assert fill(PAGE, {"title": "a & b"}) == ("POST", "/task/7", SHOWN)


def test_the_first_form_is_taken_that_has_all_that_is_typed():
    assert fill(PAGE, {}) == ("GET", "/search", [("q", "<old>")])
    assert fill(PAGE, {"q": "new"}).fields == [("q", "new")]


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ({"title": "<new>"}, [("title", "<new>")]),
        ({"notes": "a\nb\r\nc"}, [("notes", "a\r\nb\r\nc")]),
        ({"state": "open", "kind": "b"}, [("state", "open"), ("kind", "b")]),
        ({"size": "s"}, [("size", "s")]),
        ({"box": True}, [("box", "yes")]),
    ],
)
def test_what_is_typed_or_chosen_is_sent(typed, fields):
    assert sent(typed) == fields


def test_several_options_may_be_chosen_or_none():
    assert ("days", "mon") not in fill(PAGE, {"days": ["tue"]}).fields
    assert "days" not in dict(fill(PAGE, {"days": []}).fields)
    assert "days" not in dict(fill(PAGE, {"days": False}).fields)


def test_the_new_line_behind_the_start_of_a_textarea_is_not_part_of_its_text():
    page = "<form><textarea name=x>{}</textarea></form>"
    texts = {
        shown: dict(fill(page.format(shown), {}).fields)["x"] for shown in ("a", "\na", "\r\na", "\n\na", "")
    }
    assert texts == {"a": "a", "\na": "a", "\r\na": "a", "\n\na": "\r\na", "": ""}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"state": "gone"}, "state has no option 'gone', only open, done"),
        ({"days": ["mon", "sun"]}, "days has no option 'sun', only mon, tue"),
        ({"outside": "x"}, "no form of the page has all of outside; its forms have: q; token, title, notes"),
        ({"quiet": "x"}, "no form of the page has all of quiet"),
        ({"title": "x", "q": "y"}, "no form of the page has all of title, q"),
    ],
)
def test_what_a_browser_could_not_do_is_an_error(typed, sentence):
    with pytest.raises(LookupError) as caught:
        fill(PAGE, typed)
    assert str(caught.value).startswith(sentence)


def test_a_page_without_forms_says_so():
    with pytest.raises(LookupError, match="its forms have: none at all"):
        fill("<p>", {"x": "y"})
