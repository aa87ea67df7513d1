from __future__ import annotations

import errno
import os
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import Application, HttpError
from worker.form_data import FormLimits, Sent, read_form
from worker.testing import Client
from worker.uploads import clean_name

TYPE = "multipart/form-data; boundary=b"


def part(disposition: str, content: bytes = b"", *lines: str) -> bytes:
    head = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *lines))
    return f"--b\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes, end: bytes = b"--b--\r\n", known_length: bool = True, **limits: int):
    body = b"".join(parts) + end
    sent = Sent(TYPE, len(body) if known_length else None, BytesIO(body))
    return read_form(sent, FormLimits(**limits))


def status_of(*parts: bytes, **options) -> int:
    with pytest.raises(HttpError) as caught:
        form(*parts, **options)
    return caught.value.status


def test_fields_and_files_are_told_apart():
    sent = form(
        part('name="title"', "Jürgen".encode()),
        part('name="tag"', b"a"),
        part('name="photo"; filename="beach.jpg"', b"\xff\xd8\r\n--\0", "Content-Type: image/jpeg"),
        part('name="tag"', b"b"),
        part('name="photo"; filename="sea.jpg"', b"sea"),
    )
    assert sent.fields["title"] == "Jürgen"
    assert sent.fields.getlist("tag") == ["a", "b"]
    assert "photo" not in sent.fields
    beach, sea = sent.files.getlist("photo")
    assert (beach.name, beach.content_type, beach.size) == ("beach.jpg", "image/jpeg", 7)
    assert (beach.content, sea.content, sea.content_type) == (b"\xff\xd8\r\n--\0", b"sea", "")
    assert sent.files["photo"] is beach
    assert repr(beach) == "<UploadedFile 'beach.jpg', 7 bytes>"
    sent.release()


def test_a_file_that_nobody_chose_is_not_there():
    sent = form(part('name="photo"; filename=""', b"", "Content-Type: application/octet-stream"))
    assert [*sent.files] == [*sent.fields] == []
    sent.release()


def test_an_empty_file_that_somebody_chose_is_there():
    sent = form(part('name="photo"; filename="empty"'))
    assert sent.files["photo"].size == 0
    assert sent.files["photo"].content == b""
    sent.release()


def test_names_are_read_as_browsers_write_them():
    sent = form(
        part('name="a %22b%22"', b"1"), part('name="p"; filename="say %22hi%22 %0D%0A.txt"'), part('name=""')
    )
    assert sent.fields['a "b"'] == "1"
    assert sent.fields[""] == ""
    assert sent.files["p"].name == 'say "hi" .txt'
    sent.release()


@pytest.mark.parametrize("memory", [0, 10, 10**6])
def test_files_are_read_wherever_they_are_kept(memory, tmp_path):
    contents = [os.urandom(size) for size in (0, 1, 9, 100_000, 5)]
    sent = form(
        *(part(f'name="f"; filename="{n}"', content) for n, content in enumerate(contents)), memory=memory
    )
    files = sent.files.getlist("f")
    assert [file.content for file in files] == contents
    with files[3].open() as one, files[2].open() as other:
        assert one.read(10) == contents[3][:10]
        assert other.read() == contents[2]
        assert one.read() == contents[3][10:]
    files[3].save(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == contents[3]
    sent.release()


def test_a_thousand_files_take_one_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    sent = form(*(part(f'name="f"; filename="{n}"', b"x" * 300) for n in range(1000)), memory=1000)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert sum(file.size for file in sent.files.getlist("f")) == 300_000
    sent.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_is_saved_under_a_new_name_only(tmp_path):
    sent = form(part('name="f"; filename="x"', b"new"))
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        sent.files["f"].save(tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"old"
    sent.release()
    with pytest.raises(ValueError, match="closed"):
        sent.files["f"].save(tmp_path / "late")
    assert not (tmp_path / "late").exists()


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_has_no_more_fields_and_files_than_it_may():
    field, file = part('name="f"'), part('name="f"; filename="x"')
    form(*[field] * 1000, *[file] * 1000).release()
    assert status_of(*[field] * 1001) == 400
    assert status_of(*[file] * 1001) == 400
    assert status_of(*[field] * 10_000) == 400
    assert status_of(*[file] * 10_000) == 400
    assert status_of(*[part('name="f"; filename=""')] * 10_000) == 413


def test_a_form_has_no_more_bytes_than_it_may():
    text, file = part('name="f"', b"x" * 100), part('name="f"; filename="x"', b"x" * 1000)
    form(text, file, text=100).release()
    assert status_of(text, file, text=99) == 413
    assert status_of(text, text, text=150) == 413
    assert status_of(file, size=1000) == 413
    assert status_of(file, size=1000, known_length=False) == 413
    assert status_of(*[file] * 200, size=100_000, known_length=False) == 413


@pytest.mark.parametrize(
    "head",
    [
        'name="' + "x" * 5000 + '"',
        'name="f"; filename="' + "x" * 5000 + '"',
        'name="f"\r\nX-Long: ' + "x" * 5000,
        'name="f"' + "".join(f"\r\nX-{n}: 1" for n in range(8)),
    ],
)
def test_a_part_has_no_longer_head_than_it_may(head):
    assert status_of(part(head)) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"--b",
        b"--b\r\n",
        b"--b\nContent-Disposition: form-data; name=f\n\n--b--",
        b"--b\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: attachment; name=f\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=f\r\n\r\nx",
        b"--b\r\nContent-Disposition\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=f\r\nContent-Length: x\r\n\r\nx\r\n--b--",
    ],
)
def test_a_malformed_form_is_the_clients_mistake(body):
    with pytest.raises(HttpError) as caught:
        read_form(Sent(TYPE, len(body), BytesIO(body)), FormLimits())
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="\n"'],
)
def test_a_form_without_a_boundary_is_the_clients_mistake(content_type):
    with pytest.raises(HttpError) as caught:
        read_form(Sent(content_type, 5, BytesIO(b"--b--")), FormLimits())
    assert caught.value.status == 400


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_is_a_form_or_the_clients_mistake(junk, is_wrapped):
    body = part('name="f"; filename="x"', junk) + b"--b--" if is_wrapped else b"--b\r\n" + junk
    outcome = 200
    try:
        read_form(Sent(TYPE, len(body), BytesIO(body)), FormLimits()).release()
    except HttpError as error:
        outcome = error.status
    assert outcome in {200, 400, 413}


@pytest.mark.parametrize("parts", [[part('name="f"; filename="x"', b"x" * 100)] * 1001, [b"--b\r\njunk"]])
def test_a_form_that_is_refused_leaves_nothing_open(parts):
    before = len(os.listdir("/proc/self/fd"))
    status_of(part('name="f"; filename="x"', b"x" * 100), *parts, memory=0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_said_so_and_leaves_nothing_open(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("worker.spool.TemporaryFile", refuse)
    assert status_of(part('name="f"; filename="x"', b"x" * 100), memory=10) == 507


def test_a_body_that_breaks_off_is_no_form_and_leaves_nothing_open():
    class BrokenBody(BytesIO):
        def read(self, size=-1, /):
            raise ConnectionError

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConnectionError):
        read_form(Sent(TYPE, 100, BrokenBody()), FormLimits(memory=0))
    assert len(os.listdir("/proc/self/fd")) == before


# ── Names of files ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("beach.jpg", "beach.jpg"),
        ("my photo (2).jpg", "my photo (2).jpg"),
        ("Übung.txt", "Übung.txt"),
        ("U\u0308bung.txt", "Übung.txt"),
        ("/etc/passwd", "passwd"),
        ("../../x", "x"),
        ("C:\\photos\\beach.jpg", "beach.jpg"),
        ("a/..\\..\\b", "b"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        ("a/", "unnamed"),
        (".htaccess", "htaccess"),
        (". . x", "x"),
        ("a\r\nb\0c\x7f.txt", "abc.txt"),
        ("gpj\u202efdp.exe", "gpjfdp.exe"),
        ("a\ud800b", "ab"),
        ("  x  ", "x"),
    ],
)
def test_the_name_of_a_file_has_no_path_and_nothing_that_misleads(name, cleaned):
    assert clean_name(name) == cleaned


def test_a_long_name_is_cut_and_keeps_its_suffix():
    assert clean_name("é" * 200 + ".jpeg") == "é" * 125 + ".jpeg"
    assert clean_name("x" * 300) == "x" * 255
    assert clean_name("x" * 10 + "." + "y" * 300) == "x" * 10 + "." + "y" * 244


@given(st.text())
def test_a_cleaned_name_is_one_that_a_folder_takes(name):
    cleaned = clean_name(name)
    assert cleaned == clean_name(cleaned)
    assert not {"/", "\\", "\0", "\n"} & set(cleaned)
    assert cleaned not in {"", ".", ".."}
    assert len(cleaned.encode()) <= 255


# ── In an application ────────────────────────────────────────────────────────────────────────────────


def test_a_handler_sees_the_files_until_its_answer_is_sent():
    app = Application("x")
    seen = []

    @app.post("/")
    def save(request):
        file = request.files["photo"]
        seen.append(file)
        return (
            f"{request.form['title']}: {file.name}, {file.content_type}, {file.size}, {file.content.decode()}"
        )

    result = Client(app).post("/", form={"title": "x"}, files={"photo": ("a b.txt", b"hello", "text/plain")})
    assert result.text == "x: a b.txt, text/plain, 5, hello"
    with pytest.raises(ValueError, match="closed"):
        _ = seen[0].content


def test_a_stream_sees_the_files_until_its_end():
    app = Application("x", form_limits=FormLimits(memory=1))

    @app.post("/")
    def echo(request):
        yield from request.files["photo"].open()

    before = len(os.listdir("/proc/self/fd"))
    assert Client(app).post("/", files=[("photo", ("x", b"a\nb\n"))]).text == "a\nb\n"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_handler_that_fails_leaves_no_files_open():
    app = Application("x", form_limits=FormLimits(memory=1))
    app.post("/")(lambda request: 1 / len(request.files.getlist("none")))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError):
        Client(app).post("/", files={"photo": ("x", b"abc")})
    assert len(os.listdir("/proc/self/fd")) == before
