from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol import limits
from worker import Application, HttpError
from worker.files import FilePieces, FileResponse, file_response
from worker.testing import Client

CHANGED = 1_000_000_000
LAST_MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "digits.txt"
    path.write_bytes(b"0123456789")
    os.utime(path, (CHANGED, CHANGED))
    return path


def client_of(make) -> Client:
    app = Application("files")
    app.route("/", methods=["GET", "POST"])(lambda request: make())
    return Client(app)


@pytest.fixture
def client(path) -> Client:
    return client_of(lambda: file_response(path))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_sent_with_what_is_known_of_it(client):
    result = client.get("/")
    assert (result.status, result.body) == (200, b"0123456789")
    assert {name: result.headers[name] for name in result.headers if name != "etag"} == {
        "x-content-type-options": "nosniff",
        "content-type": "text/plain; charset=utf-8",
        "last-modified": LAST_MODIFIED,
        "accept-ranges": "bytes",
        "content-length": "10",
    }
    assert client.get("/").headers["etag"] == result.headers["etag"]


def test_head_has_the_fields_and_no_body(client):
    whole, head = client.get("/"), client.head("/")
    assert (head.status, head.body) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)


def test_a_client_that_has_the_file_gets_304(client):
    etag = client.get("/").headers["etag"]
    for condition in ({"If-None-Match": etag}, {"If-Modified-Since": LAST_MODIFIED}):
        result = client.get("/", headers=condition)
        assert (result.status, result.body) == (304, b"")
        assert dict(result.headers) == {"x-content-type-options": "nosniff", "etag": etag}


def test_a_file_that_has_changed_is_sent_again(client, path):
    etag = client.get("/").headers["etag"]
    path.write_bytes(b"other")
    assert client.get("/", headers={"If-None-Match": etag}).body == b"other"


def test_a_condition_that_is_for_another_file_fails(client):
    assert client.get("/", headers={"If-Match": '"other"'}).status == 412


@pytest.mark.parametrize(
    ("value", "content", "extent"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-1", b"9", "bytes 9-9/10"),
    ],
)
def test_a_part_is_sent(client, value, content, extent):
    result = client.get("/", headers={"Range": value})
    assert (result.status, result.body) == (206, content)
    assert (result.headers["content-range"], result.headers["content-length"]) == (extent, str(len(content)))


def test_a_part_that_is_not_there_cannot_be_sent(client):
    result = client.get("/", headers={"Range": "bytes=10-"})
    assert (result.status, result.headers["content-range"]) == (416, "bytes */10")


def test_a_range_that_makes_no_sense_and_one_of_another_version_get_the_whole(client):
    for headers in ({"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If-Range": '"other"'}):
        result = client.get("/", headers=headers)
        assert (result.status, result.body) == (200, b"0123456789")


def test_conditions_are_for_get_and_head_and_for_what_is_no_error(path, client):
    condition = {"If-None-Match": "*", "Range": "bytes=0-1"}
    assert client.post("/", headers=condition).body == b"0123456789"

    def failed():
        response = file_response(path)
        response.status = 404
        return response

    result = client_of(failed).get("/", headers=condition)
    assert (result.status, result.body) == (404, b"0123456789")


def test_a_tag_and_a_time_that_the_author_knows_better_take_the_place_of_the_files(path):
    def tagged():
        response = file_response(path)
        response.etag = "v1"
        response.modified = datetime(2020, 1, 1, tzinfo=UTC)
        return response

    client = client_of(tagged)
    result = client.get("/")
    assert result.headers.getlist("etag") == ['"v1"']
    assert result.headers.getlist("last-modified") == ["Wed, 01 Jan 2020 00:00:00 GMT"]
    assert client.get("/", headers={"If-None-Match": '"v1"'}).status == 304


def test_a_large_file_is_sent_in_pieces_and_closed(tmp_path):
    content = os.urandom(2 * limits.PIECE + 5)
    (tmp_path / "large.bin").write_bytes(content)
    before = open_files()
    answer = FileResponse(tmp_path / "large.bin").answer()
    assert isinstance(answer.body, FilePieces)
    assert open_files() == before + 1
    pieces = [*answer.body]
    answer.body.close()
    assert open_files() == before
    assert [len(piece) for piece in pieces] == [limits.PIECE, limits.PIECE, 5]
    assert b"".join(pieces) == content
    assert b"Content-Length: %d\r\n" % len(content) in answer.head


def test_a_large_part_is_sent_in_pieces(tmp_path):
    content = os.urandom(2 * limits.PIECE)
    (tmp_path / "large.bin").write_bytes(content)
    result = client_of(lambda: file_response(tmp_path / "large.bin")).get("/", headers={"Range": "bytes=3-"})
    assert result.body == content[3:]


def test_a_file_that_becomes_shorter_ends_early(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 3 * limits.PIECE)
    body = FileResponse(path).answer().body
    assert isinstance(body, FilePieces)
    assert len(next(body)) == limits.PIECE
    os.truncate(path, limits.PIECE + 1)
    assert [*body] == [b"x"]
    body.close()


@pytest.mark.parametrize("path", ["/none", "/", "/dev/null", "a\0b"])
def test_what_is_no_file_is_not_found(path):
    with pytest.raises(HttpError) as caught:
        file_response(path)
    assert caught.value.status == 404


def test_a_file_that_is_gone_before_it_is_sent_is_not_found(path, client):
    def vanishing():
        response = file_response(path)
        path.unlink()
        return response

    assert client_of(vanishing).get("/").status == 404


def test_what_is_only_made_or_refused_leaves_nothing_open(path, client):
    before = open_files()
    file_response(path)
    for headers in ({}, {"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=99-"}):
        client.get("/", headers=headers)
        client.head("/", headers=headers)
    assert open_files() == before


def test_its_type_its_name_and_its_age_can_be_said(path):
    response = file_response(path, content_type="text/csv", download_as='Über"1\r\n".csv', max_age=60)
    fields = dict(response.headers)
    assert fields["Content-Type"] == "text/csv"
    assert fields["Cache-Control"] == "max-age=60"
    assert fields["Content-Disposition"] == (
        "attachment; filename=\"_ber_1___.csv\"; filename*=UTF-8''%C3%9Cber%221%0D%0A%22.csv"
    )
    assert response.answer().status == 200
