"""Forms that come in parts: ``multipart/form-data``."""

from __future__ import annotations

import unicodedata
from typing import Any

from tests.fuzz.target import SEPARATOR, Target, joined, outcome, parts, ways_to_cut
from worker.body import LinkBody
from worker.errors import HttpError
from worker.form_data import FormLimits, Sent, read_form
from worker.uploads import clean_name

LIMITS = FormLimits(size=3000, text=800, fields=10, files=5, line=200, lines=4, memory=500)
"""Small ones, so that short inputs reach them."""

TYPE = "multipart/form-data; boundary=b"


def read(data: bytes) -> None:
    """Read a form; if an input has two parts, the first is its Content-Type."""
    content_type, body = described(data)
    form(content_type, [body], len(body))


def described(data: bytes) -> tuple[str, bytes]:
    if SEPARATOR in data:
        content_type, body = parts(data, 2)
        return f"multipart/form-data{content_type.decode('latin-1')}", body
    return TYPE, data


def form(content_type: str, pieces: list[bytes], length: int | None) -> tuple[Any, Any]:
    """Return the fields and files of a form whose body comes like this.

    Raises:
        HttpError: it cannot be read.
    """
    body = LinkBody(lambda: None)
    for piece in pieces:
        body.add(piece, False)
    body.add(b"", True)
    found = read_form(Sent(content_type, length, body), LIMITS)
    try:
        fields = [(name, value) for name in found.fields for value in found.fields.getlist(name)]
        files = [
            (name, file.name, file.content_type, file.content)
            for name in found.files
            for file in found.files.getlist(name)
        ]
    finally:
        found.release()
    return fields, files


def is_the_same_however_it_comes(data: bytes) -> None:
    content_type, body = described(data)
    whole = outcome(form, content_type, [body], len(body), refusals=(HttpError,))
    for pieces in ways_to_cut(body):
        assert outcome(form, content_type, pieces, len(body), refusals=(HttpError,)) == whole
        assert outcome(form, content_type, pieces, None, refusals=(HttpError,)) == whole


def keeps_to_the_limits(data: bytes) -> None:
    found = outcome(form, *described(data)[:1], [described(data)[1]], None, refusals=(HttpError,))
    if found is not HttpError:
        fields, files = found
        assert len(fields) <= LIMITS.fields
        assert len(files) <= LIMITS.files
        assert sum(len(content) for *_, content in files) <= LIMITS.size
        for _, name, _, _ in files:
            is_no_path(name)


def is_no_path(name: str) -> None:
    assert name
    assert not name.startswith((".", " "))
    assert not set(name) & set("/\\\0\r\n")
    assert len(name.encode()) <= 255
    assert not {unicodedata.category(character) for character in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def names_are_no_paths(data: bytes) -> None:
    is_no_path(clean_name(data.decode("utf-8", "surrogateescape")))


def is_read_back_as_a_browser_writes_it(data: bytes) -> None:
    """Three parts of an input are a field or a file: its name, its file's name or nothing, its content."""
    found = [*data.split(SEPARATOR)]
    fields, files, body = [], [], b""
    for raw_name, raw_file, content in zip(found[::3], found[1::3], found[2::3], strict=False):
        name, file = (part.decode("utf-8", "replace").replace("%", "_") for part in (raw_name, raw_file))
        if b"--b" in content or "\\" in file:
            return
        if file:
            files.append((name, clean_name(file), "x/y", content))
            body += part(name, content, f'; filename="{quoted(file)}"', "Content-Type: x/y\r\n")
        else:
            text = content.decode("utf-8", "replace")
            fields.append((name, text))
            body += part(name, text.encode(), "", "")
    read_back = outcome(form, TYPE, [body + b"--b--\r\n"], None, refusals=(HttpError,))
    if read_back is not HttpError:
        assert (sorted(read_back[0]), sorted(read_back[1])) == (sorted(fields), sorted(files))
    else:
        assert len(body) > 200 or any("\0" in name for name, *_ in (*fields, *files))


def part(name: str, content: bytes, more: str, line: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{quoted(name)}"{more}\r\n{line}\r\n'
    return head.encode() + content + b"\r\n"


def quoted(name: str) -> str:
    """Return a name as browsers quote it (HTML Standard, multipart/form-data)."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


FIELD = part("title", "J\xfcrgen".encode(), "", "")
FILE = part("photo", b"\xff\xd8\r\n--\0", '; filename="beach.jpg"', "Content-Type: image/jpeg\r\n")

TARGET = Target(
    read=read,
    refusals=(HttpError,),
    laws=(
        is_the_same_however_it_comes,
        keeps_to_the_limits,
        names_are_no_paths,
        is_read_back_as_a_browser_writes_it,
    ),
    seeds=(
        FIELD + FILE + FIELD + b"--b--\r\n",
        b"preamble\r\n" + FILE + FILE + b"--b--epilogue",
        joined(b'; boundary="a b"', b'--a b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--a b--'),
        joined(b"title", b"", b"text", b"photo", b"C:/beach.jpg", b"\xff\xd8\r\n--"),
        b"--b\r\nContent-Disposition: form-data; name=x; filename*=UTF-8''a\r\n\r\n\r\n--b--",
        b'--b\r\ncontent-disposition: form-data; filename="..\\..\\.x"; name="a\\"b"\r\n\r\nx\r\n--b--',
        FIELD * 11 + b"--b--",
        part("photo", b"x" * 600, '; filename="large"', "") + b"--b--",
        b"../../\xe2\x80\xae.txt." + b"e" * 300,
    ),
    words=(
        *(
            b"--b|--b\r\n|--b--|\r\n--b|\r\n|\r\n\r\n|\r|\n|--|\x00;|Content-Disposition: form-data; "
            b'|Content-Disposition:|form-data|name="a"|; name=|name*=|; filename="a.b"|; filename='
            b"|; filename*=UTF-8''%41|Content-Type: text/plain\r\n|; charset=x|Content-Length: 3\r\n"
            b'|Content-Transfer-Encoding: base64\r\n|"|\\|\\"|%22|%0D%0A|;|=|; boundary=|boundary|/|..'
            b"|\xe2\x80\xae|\xcc\x81|\xed\xb2\x80"
        ).split(b"|"),
        FIELD,
        FILE,
    ),
    each=250,  # of its Content-Type, which is part of a head; of a body it is less than 20
    fixed=500_000,
)
