from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from worker import Response
from worker.templates import Rendered, Template, Templates

HOSTILE = "<script>alert(1)</script><style>*{}</style>\"'&`"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;style&gt;*{}&lt;/style&gt;&#34;&#39;&amp;`"

SHOW = Template("{{ value }}")

texts = st.text() | st.sampled_from([HOSTILE, '"', "'", "</p>", "-->", "&lt;"])
iolists = st.recursive(texts, lambda inner: st.lists(inner) | st.tuples(inner, inner))


def shown(value) -> str:
    return str(SHOW.pieces(value=value))


class Text(HTMLParser):
    """The text of a page; a tag in it is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        raise AssertionError(f"<{tag}> came to be")

    handle_endtag = handle_comment = handle_decl = handle_pi = handle_starttag


def flat(pieces) -> str:
    return pieces if isinstance(pieces, str) else "".join(map(flat, pieces))


def test_a_text_is_escaped():
    assert shown(HOSTILE) == ESCAPED


@pytest.mark.parametrize(
    "value",
    [
        [HOSTILE],
        (HOSTILE,),
        [[], ["", (HOSTILE,)]],
        iter([HOSTILE]),
        (piece for piece in ["<script>", HOSTILE[8:]]),
        [HOSTILE.encode()],
        HOSTILE.encode(),
    ],
)
def test_a_list_of_pieces_is_escaped_piece_by_piece(value):
    assert shown(value) == ESCAPED


def test_only_the_pieces_that_are_html_stay_as_they_are():
    assert shown(["<b>", Markup("<b>"), [Markup("&amp;"), "&"]]) == "&lt;b&gt;<b>&amp;&amp;"


@given(iolists)
def test_whatever_pieces_a_page_is_given_it_shows_as_text(value):
    # A parser takes CR and CR LF for LF, and NUL for U+FFFD; nothing else may change.
    parsed = Text(shown(value)).text
    assert parsed.replace("\r\n", "\n") == flat(value).replace("\r\n", "\n")


@given(iolists)
def test_whatever_pieces_a_template_writes_itself_are_escaped_too(value):
    assert str(Template("{{ [value, [value]] }}").pieces(value=value)) == shown(value) * 2


def test_none_is_nothing_and_numbers_are_numbers():
    page = Template("{{ a }}|{{ b }}|{{ c }}|{{ None }}|{{ [None, 1] }}")
    assert str(page.pieces(a=None, b=0, c=False)) == "|0|False||1"


def test_what_a_template_made_is_not_escaped_again_by_another():
    inner = Template("<b>{{ value }}</b>").pieces(value="<")
    assert shown(inner) == "<b>&lt;</b>"
    assert shown([inner, "<"]) == "<b>&lt;</b>&lt;"
    assert shown(Rendered(["<", "b>"])) == "<b>"


def test_html_is_printed_raw_only_where_the_template_or_the_value_says_so():
    assert str(Template("{{ value|safe }}").pieces(value="<b>")) == "<b>"
    assert shown(Markup("<b>")) == "<b>"
    assert str(Template("{{ value|safe|upper }}{{ value }}").pieces(value="<b>")) == "<B>&lt;b&gt;"


@pytest.mark.parametrize("value", [["<b>", ["&", b"<"]], ("<b>&", "<"), iter(["<b>&<"])])
def test_pieces_may_be_marked_as_html_too(value):
    assert str(Template("{{ value|safe }}").pieces(value=value)) == "<b>&<"


@pytest.mark.parametrize("tag", ["autoescape false", "-autoescape true", "+ autoescape x"])
def test_escaping_cannot_be_switched(tag):
    source = f"line one\n{{%{tag} %}}{{{{ value }}}}{{% endautoescape %}}"
    with pytest.raises(Exception, match=r"line 2 of .*: escaping cannot be switched; .* with \|safe"):
        Template(source)
    with pytest.raises(Exception, match="line 2 of page: escaping cannot be switched"):
        Templates({"page": source})["page"]


def test_the_word_autoescape_may_be_used_for_anything_else():
    assert str(Template("{{ autoescape }} autoescape").pieces(autoescape="<")) == "&lt; autoescape"


def test_macros_blocks_and_captured_text_are_escaped_once():
    source = (
        "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}"
        "{% set captured %}<i>{{ value }}</i>{% endset %}"
        "{{ bold(value) }}{{ captured }}{{ bold(captured) }}"
    )
    page = str(Template(source).pieces(value="<"))
    assert page == "<b>&lt;</b><i>&lt;</i><b><i>&lt;</i></b>"


def test_a_response_sends_the_pieces_as_they_are():
    pieces = Template("<p>{{ value }}</p>").pieces(value="<é>")
    response = Response(pieces)
    assert response.answer().body == "<p>&lt;é&gt;</p>".encode()
    assert response.headers == [("Content-Type", "text/html; charset=utf-8")]


def test_an_empty_page_is_a_page_and_not_an_empty_json_list():
    response = Response(Template("{% if value %}x{% endif %}").pieces(value=0))
    assert (response.answer().body, response.headers[0][1]) == (b"", "text/html; charset=utf-8")
