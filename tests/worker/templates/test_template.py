from __future__ import annotations

import os
import threading
import traceback

import pytest

from worker import HttpError
from worker.templates import Template, TemplateError, Templates

FRAME = "<title>{% block title %}Site{% endblock %}</title>\n<main>{% block main %}{% endblock %}</main>"
PAGE = (
    "{% extends 'frame.html' %}\n"
    "{% block title %}{{ name }} - {{ super() }}{% endblock %}\n"
    "{% block main %}{{ text }}{% endblock %}"
)
MADE = "<title>A &amp; B - Site</title>\n<main>&lt;p&gt;</main>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "frame.html").write_text(FRAME)
    (tmp_path / "page.html").write_text(PAGE)
    return tmp_path


def text(template, **context) -> str:
    return str(template.pieces(**context))


# ── Inline, in a mapping, in a folder ────────────────────────────────────────────────────────────────


def test_a_template_can_be_a_line_in_the_program():
    assert text(Template("Good morning, {{ name }}."), name="A & B") == "Good morning, A &amp; B."


def test_templates_of_a_folder_extend_each_other(folder):
    assert text(Templates(folder)["page.html"], name="A & B", text="<p>") == MADE


def test_templates_of_a_mapping_extend_each_other():
    templates = Templates({"frame.html": FRAME, "page.html": PAGE})
    assert text(templates["page.html"], name="A & B", text="<p>") == MADE


def test_an_inline_template_extends_those_of_a_folder(folder):
    assert text(Templates(folder).inline(PAGE), name="A & B", text="<p>") == MADE


def test_templates_include_and_import_each_other(folder):
    (folder / "parts").mkdir()
    (folder / "parts" / "foot.html").write_text("<footer>{{ name }}</footer>")
    (folder / "macros.html").write_text("{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}")
    source = "{% from 'macros.html' import bold %}{{ bold(name) }}{% include 'parts/foot.html' %}"
    assert text(Templates(folder).inline(source), name="<") == "<b>&lt;</b><footer>&lt;</footer>"


def test_a_folder_is_looked_up_beside_the_module_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "site" / "pages").mkdir(parents=True)
    (tmp_path / "site" / "pages" / "home.html").write_text("home")
    module = {"__file__": str(tmp_path / "site" / "app.py"), "Templates": Templates}
    monkeypatch.chdir(os.sep)
    exec("templates = Templates('pages')", module)
    assert text(module["templates"]["home.html"]) == "home"


def test_without_a_module_a_folder_is_looked_up_from_the_current_one(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    namespace = {"Templates": Templates}
    exec(f"templates = Templates({folder.name!r})", namespace)
    assert "page.html" in repr(namespace["templates"]["page.html"])


def test_a_loop_has_an_alternative_for_nothing():
    page = Template("{% for page in pages %}<li>{{ page }}{% else %}none yet{% endfor %}")
    assert text(page, pages=["<a>", "b"]) == "<li>&lt;a&gt;<li>b"
    assert text(page, pages=[]) == "none yet"


def test_lines_with_tags_leave_no_trace():
    page = Template("<ul>\n  {% for n in numbers %}\n  <li>{{ n }}\n  {% endfor %}\n</ul>")
    assert text(page, numbers=[1, 2]) == "<ul>\n  <li>1\n  <li>2\n</ul>"


def test_templates_may_have_filters_and_values_of_their_own(folder):
    templates = Templates(folder, filters={"twice": lambda x: x * 2}, values={"site": "<S>"})
    assert text(templates.inline("{{ site|twice }}")) == "&lt;S&gt;&lt;S&gt;"


def test_any_name_may_be_used_in_a_template():
    page = Template("{{ source }}{{ template }}{{ context }}{{ names }}")
    assert str(page.pieces(source=1, template=2, context=3, names=4)) == "1234"


def test_templates_say_which_they_are(folder):
    assert repr(Templates(folder)) == f"<Templates in {folder}>"
    assert repr(Templates({})) == "<Templates among these templates>"
    assert repr(Templates(folder)["page.html"]) == "<Template page.html>"
    assert repr(Template("")).startswith("<Template the template at test_template.py:")


# ── In pieces ────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_comes_in_pieces_that_are_not_joined():
    pieces = Template("{% for n in numbers %}{{ n }},{% endfor %}").pieces(numbers=range(1000))
    assert 10 < len(pieces) < 30
    assert "".join(pieces) == "".join(f"{n}," for n in range(1000))


def test_a_run_of_empty_pieces_ends_no_page():
    page = Template("{% for n in numbers %}{{ '' }}{% endfor %}end")
    assert text(page, numbers=range(1000)) == "end"


def test_a_stream_is_made_while_it_is_read():
    asked = []

    def numbers():
        for number in range(10_000):
            asked.append(number)
            yield number

    stream = Template("{% for n in numbers %}{{ n }},{% endfor %}").stream(numbers=numbers())
    assert next(stream).startswith("0,1,2,")
    assert len(asked) < 100


def test_one_template_serves_many_threads_at_once():
    page = Template("{% for n in numbers %}{{ n }},{% endfor %}")
    made = []

    def make(start):
        made.append((start, text(page, numbers=range(start, start + 500))))

    threads = [threading.Thread(target=make, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(made) == [(s, "".join(f"{n}," for n in range(s, s + 500))) for s in range(8)]


# ── Changes ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_is_read_once_and_for_good(folder):
    page = Templates(folder)["page.html"]
    (folder / "page.html").write_text("changed")
    assert text(page, name="A & B", text="<p>") == MADE


def test_where_templates_reload_a_changed_one_is_seen_at_its_next_use(folder):
    page = Templates(folder, reloads=True)["page.html"]
    (folder / "page.html").write_text("changed")
    assert text(page) == "changed"


def test_where_templates_reload_a_changed_parent_is_seen_too(folder):
    templates = Templates(folder, reloads=True)
    for page in (templates["page.html"], templates.inline(PAGE)):
        (folder / "frame.html").write_text(FRAME)
        assert text(page, name="A & B", text="<p>") == MADE
        (folder / "frame.html").write_text("[{% block main %}{% endblock %}]")
        assert text(page, name="A & B", text="<p>") == "[&lt;p&gt;]"


def test_a_change_within_one_tick_of_the_file_systems_clock_is_seen(folder):
    page = Templates(folder, reloads=True)["frame.html"]
    status = os.stat(folder / "frame.html")
    (folder / "frame.html").write_text("changed")
    os.utime(folder / "frame.html", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert text(page) == "changed"


def test_development_mode_has_all_templates_reload_that_do_not_say_otherwise(folder, monkeypatch):
    page, fixed = Templates(folder)["page.html"], Templates(folder, reloads=False)["page.html"]
    monkeypatch.setattr(Templates, "reloads", True)
    (folder / "page.html").write_text("changed")
    assert text(page) == "changed"
    assert text(fixed, name="A & B", text="<p>") == MADE


def test_a_mended_template_works_without_a_restart(folder):
    page = Templates(folder, reloads=True)["page.html"]
    (folder / "page.html").write_text("{% if %}")
    with pytest.raises(TemplateError, match=r"line 1 of page\.html"):
        page.pieces()
    (folder / "page.html").unlink()
    with pytest.raises(TemplateError, match="there is no template"):
        page.pieces()
    (folder / "page.html").write_text("mended")
    assert text(page) == "mended"


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_template_is_named_with_the_folder(folder):
    with pytest.raises(TemplateError) as caught:
        Templates(folder)["pag.html"]
    assert str(caught.value) == f"there is no template 'pag.html' in {folder}"
    with pytest.raises(TemplateError, match="there is no template 'b' among these templates"):
        Templates({"a": ""})["b"]


@pytest.mark.parametrize("name", ["../secret.html", "parts/../../secret.html", "", "."])
def test_templates_stay_in_their_folder(folder, name):
    (folder.parent / "secret.html").write_text("secret")
    with pytest.raises(TemplateError, match="there is no template"):
        Templates(folder)[name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        TemplateError, match=f"there is no folder {tmp_path}/nowhere: put the templates there"
    ):
        Templates(tmp_path / "nowhere")


def test_a_template_that_is_not_utf_8_is_named(folder):
    (folder / "page.html").write_bytes(b"caf\xe9")
    with pytest.raises(TemplateError, match=r"the template 'page\.html' is not UTF-8: save it as UTF-8"):
        Templates(folder)["page.html"]


def test_a_malformed_template_is_named_with_its_line(folder):
    (folder / "page.html").write_text("one\ntwo\n{% endif %}")
    with pytest.raises(TemplateError, match=r"^line 3 of page\.html: .*unknown tag 'endif'"):
        Templates(folder)["page.html"]
    with pytest.raises(TemplateError, match=r"^line 2 of the template at test_template\.py:\d+: .*"):
        Template("one\n{{ }")
    with pytest.raises(TemplateError, match=r"^line 2 of the template at test_template\.py:\d+: .*"):
        Templates(folder).inline("one\n{{ }")


def test_a_name_that_is_not_there_is_an_error_with_its_line(folder):
    (folder / "page.html").write_text("{% extends 'frame.html' %}\n{% block main %}\n{{ nam }}{% endblock %}")
    with pytest.raises(TemplateError) as caught:
        Templates(folder)["page.html"].pieces(name="x")
    assert str(caught.value) == "line 3 of page.html: 'nam' is undefined"


def test_an_error_in_an_included_template_is_told_where_it_is(folder):
    (folder / "part.html").write_text("\n\n\n{{ user.name }}")
    page = Templates(folder).inline("{% include 'part.html' %}")
    with pytest.raises(TemplateError, match=r"line 4 of part\.html: 'dict object' has no attribute 'name'"):
        page.pieces(user={})


def test_a_missing_include_is_told_with_the_line_that_wants_it(folder):
    page = Templates(folder).inline("\n{% include 'part.html' %}")
    with pytest.raises(TemplateError, match=r"^line 2 of the template at .*: there is no template 'part"):
        page.pieces()


def test_the_programs_own_errors_keep_their_type_and_tell_the_line():
    def fail():
        raise HttpError(404)

    with pytest.raises(HttpError) as caught:
        Template("\n{{ fail() }}").pieces(fail=fail)
    [note] = caught.value.__notes__
    assert note.startswith("It came up in line 2 of the template at test_template.py:")


def test_a_wrong_use_of_a_filter_tells_the_line():
    with pytest.raises(TypeError) as caught:
        Template("\n\n{{ 'x'|cents }}").pieces()
    assert "It came up in line 3 of the template at test_template.py" in "".join(
        traceback.format_exception(caught.value)
    )


def test_a_traceback_shows_the_failing_line_of_an_inline_template():
    with pytest.raises(ZeroDivisionError) as caught:
        Template("one\ntwo {{ 1 // zero }}\nthree").pieces(zero=0)
    assert "two {{ 1 // zero }}" in "".join(traceback.format_exception(caught.value))
