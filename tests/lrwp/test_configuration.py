from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.settings import DispatcherSettings, Limits
from lrwp.configuration import read_configuration, read_worker, suggest, within_reach
from protocol.addresses import Address, read_address
from protocol.errors import SettingsError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return write


def complaint(path: Path | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read_configuration(path, environ or {})
    return str(caught.value)


# What a file says


def test_without_a_file_everything_has_its_default() -> None:
    configuration = read_configuration(None, {})
    assert configuration.dispatcher == DispatcherSettings()
    assert configuration.limits == Limits()
    assert (configuration.applications, configuration.pools, configuration.warnings) == ({}, {}, ())


def test_a_file_is_read_into_settings(write: Write) -> None:
    configuration = read_configuration(
        write("""
            [dispatcher]
            http = "127.0.0.1:80"
            link = ["127.0.0.1:81", "unix:///run/lrwp"]
            access_log_format = "json"
            [limits]
            body = "64MiB"
            wait_timeout = "250ms"
            idle_timeout = 5
            queue = 3
            [applications.shop]
            path = "/shop"
            request_timeout = "5m"
            [applications."two words"]
            [pools.shop]
            target = "shop:app"
            kind = "wsgi"
            threads = 4
            label = ["ONE"]
            env = { DATABASE = "sqlite://", DEBUG = "" }
        """),
        {},
    )
    assert configuration.dispatcher.http == Address("tcp", "127.0.0.1", 80)
    assert configuration.dispatcher.link == (
        Address("tcp", "127.0.0.1", 81),
        Address("unix", path="/run/lrwp"),
    )
    assert configuration.dispatcher.access_log_format == "json"
    limits = configuration.limits
    assert (limits.body, limits.wait_timeout, limits.idle_timeout, limits.queue) == (64 * 1024**2, 0.25, 5, 3)
    assert configuration.applications["shop"].path == ("/shop",)
    assert configuration.applications["shop"].request_timeout == 300
    assert configuration.applications["two words"].queue is None
    pool = configuration.pools["shop"]
    assert (pool.target, pool.kind, pool.threads, pool.label) == ("shop:app", "wsgi", 4, ("ONE",))
    assert pool.env == (("DATABASE", "sqlite://"), ("DEBUG", ""))


def test_paths_are_relative_to_their_file(write: Write, tmp_path: Path) -> None:
    text = '[dispatcher]\ndocroot = "www"\nsecret_file = "/etc/secret"\naccess_log = "../access.log"'
    settings = read_configuration(write(text), {}).dispatcher
    assert settings.docroot == tmp_path / "www"
    assert settings.secret_file == Path("/etc/secret")
    assert settings.access_log == tmp_path / "../access.log"


def test_pools_register_with_their_own_dispatcher_unless_told_otherwise(write: Write) -> None:
    configuration = read_configuration(
        write("""
            [dispatcher]
            link = ["0.0.0.0:9", "unix:///run/lrwp"]
            secret_file = "/etc/secret"
            [pools.near]
            target = "shop:app"
            [pools.far]
            target = "shop:app"
            dispatcher = ["10.0.0.1:9", "10.0.0.2:9"]
            secret_file = "/etc/other"
        """),
        {},
    )
    near, far = configuration.pools["near"], configuration.pools["far"]
    assert near.dispatcher == (Address("tcp", "127.0.0.1", 9),)
    assert near.secret_file == Path("/etc/secret")
    assert [str(address) for address in far.dispatcher] == ["10.0.0.1:9", "10.0.0.2:9"]
    assert far.secret_file == Path("/etc/other")


def test_the_pool_of_an_application_with_a_secret_of_its_own_has_that(write: Write, tmp_path: Path) -> None:
    text = """
        [dispatcher]
        secret_file = "general"
        [applications.shop]
        secret_file = "shop"
        [applications.blog]
        [pools.shop]
        target = "shop:app"
        [pools.two]
        target = "shop:app"
        name = ["cart", "shop"]
        [pools.blog]
        target = "blog:app"
        [pools.other]
        target = "shop:app"
        secret_file = "other"
        name = "shop"
    """
    configuration = read_configuration(write(text), {})
    files = {name: pool.secret_file for name, pool in configuration.pools.items()}
    names = {"shop": "shop", "two": "shop", "blog": "general", "other": "other"}
    assert files == {pool: tmp_path / name for pool, name in names.items()}
    assert configuration.applications["shop"].secret_file == tmp_path / "shop"
    named = read_configuration(write(text), {"LRWP_WORKER_NAME": "shop"})
    assert named.pools["blog"].secret_file == tmp_path / "shop"


@pytest.mark.parametrize(
    ("listening", "reached"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("unix:///run/x", "unix:///run/x"),
    ],
)
def test_a_listener_on_all_addresses_is_reached_by_loopback(listening: str, reached: str) -> None:
    assert str(within_reach(read_address(listening))) == reached


# Who wins


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults(write: Write) -> None:
    path = write('[dispatcher]\nhttp = "127.0.0.1:1"\nadmin = "127.0.0.1:1"\nlink = "127.0.0.1:1"')
    environ = {"LRWP_DISPATCHER_HTTP": "127.0.0.1:2", "LRWP_DISPATCHER_ADMIN": "127.0.0.1:2"}
    flags = {"dispatcher": {"http": Address("tcp", "127.0.0.1", 3)}}
    settings = read_configuration(path, environ, flags).dispatcher
    assert [settings.http.port, settings.admin.port, settings.link[0].port] == [3, 2, 1]
    assert settings.access_log_format == "combined"


def test_variables_have_commas_between_values() -> None:
    environ = {"LRWP_DISPATCHER_LINK": "127.0.0.1:1, unix:///run/x", "LRWP_LIMITS_QUEUE": "5"}
    configuration = read_configuration(None, environ)
    assert list(map(str, configuration.dispatcher.link)) == ["127.0.0.1:1", "unix:///run/x"]
    assert configuration.limits.queue == 5


def test_worker_variables_hold_for_all_pools(write: Write) -> None:
    path = write('[pools.a]\ntarget = "a:app"\nthreads = 2\n[pools.b]\ntarget = "b:app"')
    environ = {"LRWP_WORKER_THREADS": "7", "LRWP_WORKER_ENV": "A=1,B=x=y"}
    pools = read_configuration(path, environ).pools
    assert [pool.threads for pool in pools.values()] == [7, 7]
    assert pools["a"].env == (("A", "1"), ("B", "x=y"))


def test_empty_and_foreign_variables_count_as_none() -> None:
    environ = {
        "LRWP_DISPATCHER_HTTP": "",
        "LRWP_DISPATCHER_PORT": "tcp://10.0.0.1:80",
        "LRWP_LABEL": "ONE",
    }
    assert read_configuration(None, environ).dispatcher == DispatcherSettings()


def test_a_worker_may_be_described_by_variables_alone() -> None:
    settings = read_worker({"LRWP_WORKER_TARGET": "shop:app", "LRWP_WORKER_NAME": "a,b"}, {"threads": 3})
    assert (settings.target, settings.name, settings.threads) == ("shop:app", ("a", "b"), 3)


# What cannot be used


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[dispatchr]", "there is no section [dispatchr]; did you mean [dispatcher]?"),
        (
            "[zzz]",
            "there is no section [zzz]; there are [dispatcher], [limits], [applications], [pools]",
        ),
        ("[limits]\nqueu = 1", "[limits] has no key queu; did you mean queue?"),
        ("[pools.shop]\ntaget = 'x'", "[pools.shop] has no key taget; did you mean target?"),
        (
            "http = '127.0.0.1:80'",
            "http stands outside of a section; put it below one of [dispatcher], [limits],"
            " [applications.NAME], [pools.NAME]",
        ),
        (
            "[pools]\nthreads = 3",
            "threads in [pools] must be a section of its own, [pools.NAME]",
        ),
        ('[pools.""]', "a name in [pools] must be 1 to 200 printable characters"),
        ('[limits]\nqueue = "many"', '[limits] queue must be a whole number, not "many"'),
        ("[limits]\nqueue = true", "[limits] queue must be a whole number, not true"),
        ("[limits]\nqueue = -1", "[limits] queue must be at least 0, not -1"),
        ("[limits]\nqueue = []", "[limits] queue must be a whole number, not []"),
        (
            '[limits]\nbody = "1 pound"',
            '[limits] body must be a size such as 64KiB, 10MB or 1GiB, not "1 pound"',
        ),
        (
            "[limits]\nheartbeat = '10'\nwait_timeout = '1x'",
            '[limits] wait_timeout must be a duration such as 30s, 250ms or 5m, not "1x"',
        ),
        ("[limits]\nheartbeat = 0", "[limits] heartbeat must be at least 100ms, not 0"),
        (
            "[pools.a]\ntarget = 'a'\nwindow = 9",
            "[pools.a] window must be from 1 to 8, not 9",
        ),
        (
            "[pools.a]\ntarget = 'a'\nkind = 'php'",
            '[pools.a] kind must be app or wsgi, not "php"',
        ),
        (
            "[dispatcher]\nhttp = '80'",
            "[dispatcher] http: '80' is not an address: write host:port, unix:///path or tls://host:port",
        ),
        ("[dispatcher]\nlink = []", "[dispatcher] link must have at least one value"),
        ("[pools.a]\ntarget = 'a'\nname = [1]", "[pools.a] name must be text, not 1"),
        (
            "[pools.a]\ntarget = 'a'\nenv = 'A=1'",
            '[pools.a] env must be a table of names and texts, not "A=1"',
        ),
        ("[pools.a]\ntarget = 'a'\nenv = {A = 1}", "[pools.a] env.A must be text, not 1"),
        (
            "[pools.a]\ntarget = 'a'\nenv = {'A=B' = 'x'}",
            '[pools.a] env has the name "A=B": names are not empty and have neither = nor NUL',
        ),
        (
            "[pools.a]\ntarget = 'a'\nsecret_file = '~nobody-has-this-name/secret'",
            '[pools.a] secret_file must be a path, not "~nobody-has-this-name/secret"',
        ),
        (
            "[limits]\nwait_timeout = 0x1" + "0" * 5000,
            "[limits] wait_timeout must be a duration such as 30s, 250ms or 5m,"
            " not a number of thousands of digits",
        ),
        (
            "[limits]\nbody" + ".a" * 5000 + " = 1",
            "[limits] body must be a size such as 64KiB, 10MB or 1GiB, not what is nested too deeply",
        ),
        (
            "[pools.a]\nthreads = 1",
            "[pools.a] needs a target."
            " What to run, as module:attribute, looked up from the current folder first.",
        ),
        (
            "[pools.a]\ntarget = 'a'\nlabel = ['x', 'y']",
            "[pools.a] has 2 labels for 1 process",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_with_its_place(write: Write, text: str, sentence: str) -> None:
    path = write(text)
    assert complaint(path) == f"{path}: {sentence}"


def test_a_file_that_is_not_there_or_not_toml_is_told(write: Write, tmp_path: Path) -> None:
    assert complaint(tmp_path / "none") == f"there is no configuration file {tmp_path / 'none'}"
    assert complaint(tmp_path) == f"the configuration file {tmp_path} cannot be read: Is a directory"
    assert complaint(write("[dispatcher")).startswith(f"{tmp_path / 'site.toml'} is not TOML: Expected ']'")
    assert complaint(write("a = " + "[" * 5000)).endswith("is not TOML: it is nested too deeply")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9")
    assert complaint(path).startswith(f"{path} is not TOML: 'utf-8' codec")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"LRWP_LIMITS_QUEUE": "x"}, 'LRWP_LIMITS_QUEUE must be a whole number, not "x"'),
        ({"LRWP_LIMITS_QUEUE": "-1"}, "LRWP_LIMITS_QUEUE must be at least 0, not -1"),
        (
            {"LRWP_LIMITS_QUEUE": "9" * 5000},
            f'LRWP_LIMITS_QUEUE must be a whole number, not "{"9" * 80}"',
        ),
        (
            {"LRWP_WORKER_ENV": "A"},
            "LRWP_WORKER_ENV must be NAME=text, several of them with commas between",
        ),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(environ: dict[str, str], sentence: str) -> None:
    assert complaint(None, environ) == sentence


def test_the_nearest_word_is_suggested_or_all() -> None:
    assert suggest("wrker", ["worker", "load"]) == "; did you mean worker?"
    assert suggest("zzz", ["worker", "load"]) == "; there are worker, load"


# Warnings


def test_a_file_that_everybody_can_change_or_read_is_worth_a_warning(write: Write) -> None:
    path = write('[pools.a]\ntarget = "a"\nenv = { PASSWORD = "x" }')
    path.chmod(0o646)
    assert read_configuration(path, {}).warnings == (
        f"everybody on this machine can change {path}, which names programs to run: chmod o-w {path}",
        f"everybody on this machine can read {path}, which has a password: chmod o-r {path}",
    )
    path.chmod(0o640)
    assert read_configuration(path, {}).warnings == ()


@pytest.mark.parametrize(
    ("variable", "is_secret"),
    [
        ("API_TOKEN", True),
        ("session_key", True),
        ("LANG", False),
    ],
)
def test_variables_that_look_secret_are_not_for_everybody(
    write: Write, variable: str, is_secret: bool
) -> None:
    path = write(f'[pools.a]\ntarget = "a"\nenv = {{ {variable} = "x" }}')
    path.chmod(0o644)
    assert len(read_configuration(path, {}).warnings) == is_secret


@pytest.mark.parametrize(
    ("url", "is_secret"),
    [
        ("postgresql://me:pass@db/pages", True),
        ("postgresql://me:p@ss@db:5432/pages", True),
        ("postgresql://me@db:5432/pages", False),
        ("sqlite:///pages.db", False),
    ],
)
def test_a_file_with_the_password_of_a_database_is_not_for_everybody(
    write: Write, url: str, is_secret: bool
) -> None:
    path = write(f'[pools.a]\ntarget = "a"\ndatabase = "{url}"')
    path.chmod(0o644)
    sentence = f"everybody on this machine can read {path}, which has a password: chmod o-r {path}"
    assert read_configuration(path, {}).warnings == (sentence,) * is_secret
    path.chmod(0o640)
    assert read_configuration(path, {}).warnings == ()


def test_the_demo_can_be_read() -> None:
    configuration = read_configuration(Path("configs/demo.toml"), {})
    assert configuration.pools["lrtest"].label == ("ONE", "TWO", "THREE")
    assert configuration.dispatcher.docroot == Path("configs/docroot")
