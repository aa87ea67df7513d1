from __future__ import annotations

import sys
import warnings
from io import BytesIO
from wsgiref.validate import validator

import pytest

from protocol import limits
from protocol.errors import HeaderError
from worker.content import Pieces
from worker.errors import WsgiError
from worker.exchange import Exchange
from worker.testing import Client
from worker.wsgi import wsgi_handle

TEXT = [("Content-Type", "text/plain")]


def exchange(
    target: str | bytes = "/",
    head: str = "",
    body: bytes = b"",
    prefix: str = "/",
    method: str = "GET",
    **parts,
) -> Exchange:
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    return Exchange(
        application="app",
        prefix=prefix,
        method=method,
        target=target if isinstance(target, bytes) else target.encode(),
        head=head.encode("latin-1"),
        scheme=parts.get("scheme", "http"),
        client=parts.get("client", "192.0.2.7:50123"),
        attempt=parts.get("attempt", 1),
        body=BytesIO(body),
    )


def environ(*arguments, **keywords) -> dict:
    """Return the environment that an application sees; the validator makes sure of the rest of PEP 3333."""
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        start_response("200 OK", TEXT)
        return [b""]

    answer = wsgi_handle(validator(application))(exchange(*arguments, **keywords))
    assert answer == (200, b"Content-Type: text/plain\r\n", b"")
    return seen


def answering(*pieces, status="200 OK", headers=TEXT):
    def application(environ, start_response):
        start_response(status, headers)
        return [*pieces]

    return wsgi_handle(application)


class Source:
    """A body that counts what is taken from it and notes that it was closed."""

    def __init__(self, *pieces) -> None:
        self.pieces = [*pieces]
        self.taken = 0
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.taken == len(self.pieces):
            raise StopIteration
        piece = self.pieces[self.taken]
        self.taken += 1
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1


def answering_source(source: Source, *, headers=TEXT, status="200 OK"):
    def application(environ, start_response):
        start_response(status, headers)
        return source

    return wsgi_handle(application)


# ── The environment ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "prefix", "script_name", "path_info", "query"),
    [
        ("/", "/", "", "/", ""),
        ("/page/home?a=1&b=%20", "/", "", "/page/home", "a=1&b=%20"),
        ("/app", "/app", "/app", "", ""),
        ("/app/", "/app", "/app", "/", ""),
        ("/app/x/?a?b", "/app", "/app", "/x/", "a?b"),
        ("/%61pp/a%2Fb%20c", "/app", "/app", "/a/b c", ""),
        ("/caf%C3%A9/%E2%82%AC", "/café", "/cafÃ©", "/â\x82¬", ""),
        ("/%FF/%zz", "/", "", "/ÿ/%zz", ""),
        (b"/\xc3\xa9?\xff", "/", "", "/Ã©", "ÿ"),
    ],
)
def test_the_path_is_split_at_the_prefix_and_decoded_to_bytes_in_the_guise_of_latin_1(
    target, prefix, script_name, path_info, query
):
    seen = environ(target, prefix=prefix)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == (script_name, path_info, query)
    raw = target.encode() if isinstance(target, str) else target
    assert seen["REQUEST_URI"] == seen["RAW_URI"] == raw.decode("latin-1")


def test_a_target_too_long_to_be_remembered_is_read_all_the_same():
    seen = environ("/" + "a" * 5000 + "?b")
    assert (len(seen["PATH_INFO"]), seen["QUERY_STRING"]) == (5001, "b")


def test_headers_become_variables():
    seen = environ(
        head="Host: example.org:8080\r\nX-Two-Words: é\r\ncontent-type: text/css\r\n",
        body=b"123",
        method="POST",
    )
    assert seen["HTTP_HOST"] == "example.org:8080"
    assert seen["HTTP_X_TWO_WORDS"] == "é"
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"]) == ("text/css", "3")
    assert seen["REQUEST_METHOD"] == "POST"
    assert "HTTP_CONTENT_TYPE" not in seen


def test_headers_that_came_twice_are_joined():
    seen = environ(head="X-A: 1\r\nCookie: a=1\r\nX-a: 2\r\ncookie: b=2\r\n")
    assert (seen["HTTP_X_A"], seen["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")


def test_headers_that_an_application_must_not_see_are_left_out():
    head = "Proxy: http://evil.example\r\nX_Real_IP: 1.2.3.4\r\nConnection: keep-alive\r\nTE: trailers\r\n"
    assert [key for key in environ(head=head) if key.startswith("HTTP_")] == []


def test_headers_that_connection_names_are_left_out_except_those_that_applications_decide_by():
    head = "X-Hop: 1\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close, x-hop, X-Forwarded-For\r\nX-End: 1\r\n"
    seen = environ(head=head)
    assert [key for key in seen if key.startswith("HTTP_")] == ["HTTP_X_FORWARDED_FOR", "HTTP_X_END"]


@pytest.mark.parametrize(
    ("host", "scheme", "name", "port"),
    [
        ("Host: example.org\r\n", "http", "example.org", "80"),
        ("Host: example.org\r\n", "https", "example.org", "443"),
        ("Host: example.org:\r\n", "http", "example.org", "80"),
        ("Host: example.org:8080\r\n", "https", "example.org", "8080"),
        ("Host: [::1]\r\n", "http", "[::1]", "80"),
        ("Host: [2001:db8::1]:8080\r\n", "http", "[2001:db8::1]", "8080"),
        ("Host: \r\n", "http", "localhost", "80"),
        ("", "https", "localhost", "443"),
    ],
)
def test_the_server_is_what_the_client_called_it(host, scheme, name, port):
    seen = environ(head=host, scheme=scheme)
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["wsgi.url_scheme"]) == (name, port, scheme)
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"


@pytest.mark.parametrize(
    ("client", "address", "port"),
    [
        ("192.0.2.7:50123", "192.0.2.7", "50123"),
        ("[2001:db8::7]:443", "2001:db8::7", "443"),
        ("unix:", "", ""),
    ],
)
def test_the_client_is_an_address_and_a_port(client, address, port):
    seen = environ(client=client)
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == (address, port)


def test_the_rest_is_what_the_pep_asks_for():
    seen = environ(attempt=2)
    assert seen["wsgi.version"] == (1, 0)
    assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"], seen["wsgi.run_once"]) == (
        False,
        False,
        False,
    )
    assert seen["wsgi.input_terminated"] is True
    assert seen["lrwp.attempt"] == 2


def test_it_is_told_whether_others_run_beside_it():
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        start_response("200 OK", TEXT)
        return []

    wsgi_handle(application, multithread=True, multiprocess=True)(exchange())
    assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (True, True)
    assert seen["wsgi.errors"] is sys.stderr


def test_what_an_application_changes_in_its_environment_is_gone_with_the_call():
    def application(environ, start_response):
        assert "x" not in environ
        environ["x"] = environ["HTTP_HOST"] = environ["wsgi.version"] = "changed"
        start_response("200 OK", TEXT)
        return [b"ok"]

    handle = wsgi_handle(application)
    for _ in range(2):
        assert handle(exchange(head="Host: example.org\r\n")).body == b"ok"
    assert environ(head="Host: example.org\r\n")["HTTP_HOST"] == "example.org"


# ── The body of the request ──────────────────────────────────────────────────────────────────────────


def read_with(read, body: bytes = b"one\ntwo\nthree"):
    seen = []

    def application(environ, start_response):
        seen.append(read(environ["wsgi.input"]))
        start_response("200 OK", TEXT)
        return []

    wsgi_handle(application)(exchange(body=body, method="POST"))
    return seen[0]


def test_a_body_is_read_like_a_file():
    assert read_with(lambda i: i.read()) == b"one\ntwo\nthree"
    assert read_with(lambda i: (i.read(5), i.readline(), i.readline(2), i.read(-1), i.read())) == (
        b"one\nt",
        b"wo\n",
        b"th",
        b"ree",
        b"",
    )
    assert read_with(list) == [b"one\n", b"two\n", b"three"]
    assert read_with(lambda i: i.readlines()) == [b"one\n", b"two\n", b"three"]
    assert read_with(lambda i: (i.readlines(5), i.readlines(0))) == ([b"one\n", b"two\n"], [b"three"])


def test_a_request_without_a_body_has_an_empty_one():
    assert read_with(lambda i: (i.read(), i.readline(), i.readlines(), [*i]), b"") == (b"", b"", [], [])


# ── The answer ───────────────────────────────────────────────────────────────────────────────────────


def test_one_piece_is_sent_as_it_is():
    piece = b"x" * limits.PIECE * 2
    assert answering(piece)(exchange()).body is piece


def test_a_few_small_pieces_are_joined():
    assert answering(b"a", b"", b"b")(exchange()).body == b"ab"
    assert answering()(exchange()).body == b""


def test_many_large_pieces_are_sent_one_by_one():
    pieces = [b"", b"x" * limits.PIECE, b"y"]
    answer = answering(*pieces)(exchange())
    assert isinstance(answer.body, Pieces)
    assert [*answer.body] == pieces[1:]


def test_the_head_has_what_the_application_said_and_no_more():
    headers = [*TEXT, ("Content-Length", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    assert answering(b"a", headers=headers)(exchange()) == (
        200,
        b"Content-Type: text/plain\r\nContent-Length: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n",
        b"a",
    )


def test_a_generator_is_run_up_to_its_first_piece_and_streamed_from_there():
    source = Source(b"", b"a", b"", b"b")
    answer = answering_source(source)(exchange())
    assert source.taken == 2
    assert not isinstance(answer.body, bytes)
    assert [*answer.body] == [b"a", b"b"]
    assert source.closed == 1


def test_a_piece_that_is_all_that_content_length_promised_is_not_streamed():
    source = Source(b"abc", b"never sent")
    answer = answering_source(source, headers=[*TEXT, ("content-length", "3")])(exchange())
    assert (answer.body, source.taken, source.closed) == (b"abc", 1, 1)


def test_a_stream_that_nobody_reads_to_its_end_is_closed():
    source = Source(b"a", b"b")
    answer = answering_source(source)(exchange())
    assert source.closed == 0
    answer.body.close()
    assert source.closed == 1


def test_an_empty_stream_is_an_empty_body_and_closed():
    source = Source(b"", b"")
    assert answering_source(source)(exchange()).body == b""
    assert source.closed == 1


def test_start_response_may_be_called_as_late_as_the_first_piece():
    def application(environ, start_response):
        yield b""
        start_response("201 Created", TEXT)
        yield b"a"

    answer = wsgi_handle(application)(exchange())
    assert (answer.status, [*answer.body]) == (201, [b"a"])


def test_what_fails_before_the_first_piece_is_no_answer_and_closed():
    source = Source(b"", ValueError("no"), b"a")
    with pytest.raises(ValueError, match="no"):
        answering_source(source)(exchange())
    assert source.closed == 1


def test_what_fails_after_the_first_piece_fails_in_the_stream_and_is_closed():
    source = Source(b"a", ValueError("no"))
    answer = answering_source(source)(exchange())
    assert next(answer.body) == b"a"
    with pytest.raises(ValueError, match="no"):
        next(answer.body)
    assert source.closed == 1


def test_a_file_wrapper_sends_a_file_and_closes_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 20_000)
    opened = []

    def application(environ, start_response):
        start_response("200 OK", TEXT)
        opened.append(path.open("rb"))
        return environ["wsgi.file_wrapper"](opened[0], 8192)

    pieces = [*wsgi_handle(validator(application))(exchange()).body]
    assert [*map(len, pieces)] == [8192, 8192, 3616]
    assert opened[0].closed


# ── HEAD ─────────────────────────────────────────────────────────────────────────────────────────────


def test_head_has_the_length_of_a_body_that_is_whole():
    expected = (200, b"Content-Type: text/plain\r\nContent-Length: 3\r\n", b"")
    assert answering(b"abc")(exchange(method="HEAD")) == expected
    assert answering(b"a", b"bc")(exchange(method="HEAD")) == expected


def test_head_keeps_the_length_that_the_application_gave():
    headers = [*TEXT, ("Content-Length", "1000")]
    expected = (200, b"Content-Type: text/plain\r\nContent-Length: 1000\r\n", b"")
    assert answering(headers=headers)(exchange(method="HEAD")) == expected
    assert answering(b"abc", headers=headers)(exchange(method="HEAD")) == expected


def test_head_without_a_body_has_no_length_of_ours():
    assert answering()(exchange(method="HEAD")).head == b"Content-Type: text/plain\r\n"


def test_head_of_a_stream_closes_it():
    source = Source(b"a", b"b")
    assert answering_source(source)(exchange(method="HEAD")).body == b""
    assert source.closed == 1


# ── start_response and write ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "number"), [("200 OK", 200), ("404 ", 404), ("599", 599), ("418 I'm é", 418)]
)
def test_a_status_line_is_read(status, number):
    assert answering(status=status)(exchange()).status == number


@pytest.mark.parametrize(
    "status",
    ["", "OK", "20 OK", "2000 OK", "200OK", "100 Continue", "99 x", "200 OK\r\nX: y", "200 \0", "²00 OK"],
)
def test_a_status_line_that_is_none_is_refused(status):
    with pytest.raises(HeaderError):
        answering(status=status)(exchange())


@pytest.mark.parametrize(
    "field", [("X-A", "1\r\nX-B: 2"), ("X A", "1"), ("X-A", "€"), ("X-A", None), (b"X-A", "1")]
)
def test_a_header_that_would_split_the_response_is_refused_while_the_application_runs(field):
    def application(environ, start_response):
        with pytest.raises(HeaderError):
            start_response("200 OK", [*TEXT, field])
        start_response("500 Oops", TEXT)
        return [b"mended"]

    assert wsgi_handle(application)(exchange()) == (500, b"Content-Type: text/plain\r\n", b"mended")


def test_what_is_written_comes_before_what_is_returned():
    def application(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    assert wsgi_handle(validator(application))(exchange(method="GET")).body is not None
    assert wsgi_handle(application)(exchange()).body == b"abc"


def test_what_is_written_can_be_all():
    def application(environ, start_response):
        start_response("200 OK", TEXT)(b"a")
        return []

    assert wsgi_handle(application)(exchange()).body == b"a"
    assert wsgi_handle(application)(exchange(method="HEAD")).head.endswith(b"Content-Length: 1\r\n")


def test_what_is_written_between_pieces_keeps_its_place():
    def application(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"a")
        yield b"b"
        write(b"c")
        yield b""
        yield b"d"
        write(b"e")

    assert b"".join(wsgi_handle(application)(exchange()).body) == b"abcde"


def test_only_bytes_are_written():
    def application(environ, start_response):
        start_response("200 OK", TEXT)("text")
        return []

    with pytest.raises(WsgiError, match=r"write\(\) takes bytes, not str"):
        wsgi_handle(application)(exchange())


def failing(*, begin):
    """Return an application that fails after or before its first piece, and reports it as the PEP says."""

    def application(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            if begin:
                yield b"begun"
            raise ValueError("no")
        except ValueError:
            start_response("500 Oops", [("Content-Type", "text/x-error")], sys.exc_info())
            yield b"sorry"

    return wsgi_handle(application)


def test_an_error_before_the_first_piece_replaces_the_head():
    answer = failing(begin=False)(exchange())
    assert (answer.status, answer.head, [*answer.body]) == (
        500,
        b"Content-Type: text/x-error\r\n",
        [b"sorry"],
    )


def test_an_error_after_the_first_piece_is_raised_again():
    answer = failing(begin=True)(exchange())
    assert answer.status == 200
    with pytest.raises(ValueError, match="no"):
        b"".join(answer.body)


def test_an_error_after_something_was_written_is_raised_again():
    def application(environ, start_response):
        start_response("200 OK", TEXT)(b"written")
        try:
            raise ValueError("no")
        except ValueError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return []

    with pytest.raises(ValueError, match="no"):
        wsgi_handle(application)(exchange())


# ── Applications that break the rules ────────────────────────────────────────────────────────────────


def test_start_response_may_not_be_called_twice_without_an_error():
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return []

    with pytest.raises(WsgiError, match="called twice"):
        wsgi_handle(application)(exchange())


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ([], "without having called"),
        ([b"a"], "before it called"),
        ([b"a", b"b"], "before it called"),
        (iter([b""]), "without having called"),
        (iter([b"a"]), "before it called"),
    ],
)
def test_an_application_that_never_calls_start_response_is_told_so(result, complaint):
    with pytest.raises(WsgiError, match=complaint):
        wsgi_handle(lambda environ, start_response: result)(exchange())


@pytest.mark.parametrize(
    "pieces", [["text"], [b"a", "text"], [bytearray(b"a")], iter(["text"]), iter([1]), "text", b"text"]
)
def test_pieces_that_are_not_bytes_are_refused(pieces):
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return pieces

    with pytest.raises(WsgiError, match="a piece of"):
        wsgi_handle(application)(exchange())


def test_an_application_that_returns_nothing_is_told_so():
    with pytest.raises(WsgiError, match="returned None, not an iterable"):
        wsgi_handle(lambda environ, start_response: start_response("200 OK", TEXT) and None)(exchange())


def test_a_body_that_cannot_even_be_begun_is_closed():
    class Broken(Source):
        def __iter__(self):
            raise ValueError("no")

    source = Broken()
    with pytest.raises(ValueError, match="no"):
        answering_source(source)(exchange())
    assert source.closed == 1


def test_a_status_that_is_refused_leaves_the_head_as_it_was():
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError("no")
        except ValueError:
            with pytest.raises(HeaderError):
                start_response("bad", [("X-A", "1")], sys.exc_info())
        return [b"a"]

    assert wsgi_handle(application)(exchange()) == (200, b"Content-Type: text/plain\r\n", b"a")


def test_what_an_application_raises_is_for_the_worker_to_log():
    def application(environ, start_response):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        wsgi_handle(application)(exchange())


# ── Real frameworks ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def flask_client() -> Client:
    import flask

    app = flask.Flask("shop")
    app.secret_key = "not secret"

    @app.get("/")
    def home():
        return f"{flask.url_for('visit', name='é')} {flask.request.remote_addr}"

    @app.route("/visit/<name>", methods=["GET", "POST"])
    def visit(name):
        flask.session["count"] = flask.session.get("count", 0) + 1
        return {"name": name, "count": flask.session["count"], "form": flask.request.form}

    @app.get("/stream")
    def stream():
        return flask.Response((f"{n}\n" for n in range(3)), content_type="text/plain")

    @app.get("/file")
    def file():
        return flask.send_file(__file__)

    @app.get("/fail")
    def fail():
        raise ValueError("no")

    return Client(app, prefix="/shop")


def test_flask_knows_where_it_is_mounted(flask_client):
    assert flask_client.get("/shop/").text == "/shop/visit/%C3%A9 127.0.0.1"


def test_flask_reads_forms_and_keeps_sessions(flask_client):
    first = flask_client.get("/shop/visit/%C3%A9").json()
    second = flask_client.post("/shop/visit/x", form={"a": "ü"}).json()
    assert first["name"] == "é"
    assert second == {"name": "x", "count": first["count"] + 1, "form": {"a": "ü"}}


def test_flask_streams_and_sends_files(flask_client):
    assert flask_client.get("/shop/stream").text == "0\n1\n2\n"
    with open(__file__, "rb") as file:
        assert flask_client.get("/shop/file").body == file.read()


def test_flask_answers_head_and_errors(flask_client):
    head = flask_client.head("/shop/")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "28")
    assert flask_client.get("/shop/none").status == 404
    assert flask_client.delete("/shop/").status == 405
    assert flask_client.get("/shop/fail").status == 500


def test_a_page_of_flask_is_one_frame():
    import flask

    app = flask.Flask("shop")
    app.get("/")(lambda: "page")
    assert wsgi_handle(app)(exchange()).body == b"page"


@pytest.fixture(scope="module")
def httpbin() -> Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # httpbin is older than what it stands on
        from httpbin import app

        return Client(app, host="example.org:8080", scheme="https")


def test_httpbin_sees_the_request_as_it_was_sent(httpbin):
    seen = httpbin.request(
        "PUT", "/anything/é?a=1&a=2", headers={"X-Test": "yes"}, form={"field": "ä b"}
    ).json()
    assert seen["args"] == {"a": ["1", "2"]}
    assert seen["form"] == {"field": "ä b"}
    assert seen["headers"]["X-Test"] == "yes"
    assert (seen["method"], seen["origin"]) == ("PUT", "127.0.0.1")
    assert seen["url"] == "https://example.org:8080/anything/é?a=1&a=2"


def test_httpbin_answers_in_many_ways(httpbin):
    assert httpbin.get("/status/418").status == 418
    assert httpbin.get("/bytes/1000?seed=1").headers["content-length"] == "1000"
    assert len(httpbin.get("/stream-bytes/5000?seed=1&chunk_size=1000").body) == 5000
    assert len(httpbin.get("/stream/3").text.splitlines()) == 3
    assert httpbin.get("/redirect-to?url=/get").headers["location"] == "/get"
    assert httpbin.get("/basic-auth/user/secret").status == 401
    assert httpbin.get("/gzip").headers["content-encoding"] == "gzip"
    assert httpbin.post("/post", json={"a": 1}).json()["json"] == {"a": 1}
    assert httpbin.get("/cookies/set?a=1").status == 302
    assert httpbin.get("/cookies").json() == {"cookies": {"a": "1"}}
