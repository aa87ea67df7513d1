import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwp.load.answers import HEAD, AnswerReader, BodyReader, HeadAnswerReader, MalformedError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
UNFRAMED = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello"


def completed(reader: AnswerReader, *pieces: bytes) -> list[bool]:
    return [reader.feed(piece) for piece in pieces]


@pytest.mark.parametrize(("answer", "status"), [(PLAIN, 200), (CHUNKED, 201), (EMPTY, 204)])
def test_an_answer_in_one_piece_is_complete(answer: bytes, status: int) -> None:
    reader = AnswerReader()
    assert reader.feed(answer)
    assert (reader.status, reader.keeps, reader.has_begun) == (status, True, False)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, EMPTY, INTERIM + PLAIN])
def test_an_answer_byte_by_byte_is_complete_with_its_last_byte(answer: bytes) -> None:
    reader = AnswerReader()
    *before, last = (bytes([byte]) for byte in answer)
    assert not any(completed(reader, *before))
    assert reader.has_begun
    assert reader.feed(last)
    assert not reader.has_begun


@given(st.lists(st.sampled_from([PLAIN, CHUNKED, EMPTY, INTERIM + PLAIN]), min_size=1), st.data())
def test_however_answers_are_cut_each_is_complete_once(answers: list[bytes], data: st.DataObject) -> None:
    reader = AnswerReader()
    for answer in answers:
        cut = data.draw(st.integers(1, len(answer) - 1))
        assert completed(reader, answer[:cut], answer[cut:]) == [False, True]


def test_an_interim_answer_is_not_the_answer() -> None:
    reader = AnswerReader()
    assert not reader.feed(INTERIM)
    assert reader.has_begun
    assert reader.feed(PLAIN)
    assert reader.status == 200


def test_switching_protocols_is_the_answer_and_the_end() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert (reader.status, reader.keeps) == (101, False)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
@pytest.mark.parametrize("reader_class", [AnswerReader, HeadAnswerReader])
def test_the_head_says_whether_the_connection_lasts(
    head: bytes, keeps: bool, reader_class: type[AnswerReader]
) -> None:
    reader = reader_class()
    assert reader.feed(head + b"Content-Length: 0\r\n\r\n")
    assert reader.keeps is keeps


@pytest.mark.parametrize(
    "answer", [UNFRAMED, INTERIM + UNFRAMED, UNFRAMED.replace(b"Server", b"Transfer-Encoding")]
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_without_a_length_the_end_of_the_connection_completes_the_answer(answer: bytes, size: int) -> None:
    reader = AnswerReader()
    assert not any(reader.feed(answer[start : start + size]) for start in range(0, len(answer), size))
    assert reader.finish()
    assert (reader.status, reader.keeps) == (200, False)


@pytest.mark.parametrize("answer", [PLAIN[:-1], PLAIN[:20], CHUNKED[:-1], INTERIM, INTERIM + PLAIN[:-1], b""])
def test_the_end_of_the_connection_does_not_complete_what_has_another_end(answer: bytes) -> None:
    reader = AnswerReader()
    reader.feed(answer)
    assert not reader.finish()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_not_http_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        AnswerReader().feed(data)


@pytest.mark.parametrize("surplus", [b"more", PLAIN])
@pytest.mark.parametrize(
    "answer", [PLAIN, CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
)
def test_more_than_the_answer_is_malformed(answer: bytes, surplus: bytes) -> None:
    with pytest.raises(MalformedError):
        AnswerReader().feed(answer + surplus)


def test_a_head_without_end_is_malformed() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(MalformedError, match="longer than 65536 bytes"):
        completed(reader, *[b"X-Filler: " + b"x" * 1000 + b"\r\n"] * (HEAD // 1000))


def test_a_body_has_no_such_limit() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    assert completed(reader, *[bytes(100_000)] * 10) == [False] * 9 + [True]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        INTERIM + b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
    ],
)
def test_the_answer_to_head_ends_with_its_head_whatever_it_announces(head: bytes) -> None:
    reader = HeadAnswerReader()
    assert completed(reader, head, head[:9], head[9:]) == [True, False, True]
    assert reader.keeps


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b""])
def test_the_answer_to_head_with_a_body_is_malformed(framing: bytes) -> None:
    with pytest.raises(MalformedError):
        HeadAnswerReader().feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\nhello")


def test_the_body_reader_keeps_each_body() -> None:
    reader = BodyReader(100)
    bodies = []
    for answer in (PLAIN, CHUNKED, EMPTY):
        assert completed(reader, answer[:-3], answer[-3:])[-1]
        bodies.append(reader.take_body())
    assert bodies == [b"hello", b"hello", b""]


def test_the_body_reader_keeps_no_more_than_its_limit() -> None:
    reader = BodyReader(3)
    assert completed(reader, PLAIN[:-1], PLAIN[-1:])[-1]
    assert reader.take_body() == b"hel"


def test_a_plain_reader_keeps_no_body() -> None:
    reader = AnswerReader()
    reader.feed(PLAIN)
    assert reader.take_body() == b""
