"""The configuration: a file, variables, and flags."""

from __future__ import annotations

from typing import Any

from lrwp.configuration import SECTIONS, Configuration, read_configuration
from lrwp.schema import schema
from protocol.errors import SettingsError
from tests.fuzz.target import SEPARATOR, Target, joined, outcome, temporary_folder

FILE = temporary_folder() / "lrwp.toml"

ONE_OF_EACH = {
    (setting.kind, setting.shape): setting for cls in SECTIONS.values() for setting in schema(cls).values()
}.values()
"""A setting of each kind."""


def read(data: bytes) -> Configuration:
    """Read a file; further parts of an input are variables, ``NAME=text``."""
    text, *variables = data.split(SEPARATOR)
    FILE.write_bytes(text)
    pairs = (variable.decode("utf-8", "surrogateescape").partition("=") for variable in variables)
    return read_configuration(FILE, {name: value for name, _, value in pairs})


def is_written_as_it_is_read(data: bytes) -> None:
    """``lrwp up`` writes what it has read into the command lines of workers."""
    configuration = outcome(read, data, refusals=(SettingsError,))
    if not isinstance(configuration, Configuration):
        return
    pools, applications = configuration.pools.values(), configuration.applications.values()
    for settings in (configuration.dispatcher, configuration.limits, *pools, *applications):
        cls: Any = type(settings)
        for name, setting in schema(cls).items():
            value = getattr(settings, name)
            if texts := setting.write(value):
                assert setting.read_texts(texts, name) == value, name


def any_text_is_a_value_or_none(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for setting in ONE_OF_EACH:
        for texts in ([text], text.split(",")):
            outcome(setting.read_texts, texts, setting.name, refusals=(SettingsError,))


TARGET = Target(
    read=read,
    refusals=(SettingsError,),
    laws=(is_written_as_it_is_read, any_text_is_a_value_or_none),
    seeds=(
        b'[dispatcher]\nhttp = "0.0.0.0:80"\nlink = ["unix:///run/l", "tls://a:1"]\ndocroot = "site"\n',
        b'[limits]\nbody = "1.5GiB"\nhead_timeout = "250ms"\nqueue = 0x10\nheartbeat = "2h"\n',
        b'[applications.shop]\npath = ["/shop"]\nhost = "a"\nqueue = 5\nwait_timeout = 1234567.25\n',
        b'[pools.p]\ntarget = "m:a"\nprocesses = 2\nlabel = ["a", "b"]\nenv = {A = "b", C = "d=e"}\n',
        b'[pools.p]\ntarget = "m:a"\n\n[pools."q r"]\ntarget = "m:b"\nkind = "wsgi"\ndatabase = "sqlite:///a"\n',
        joined(
            b"",
            b"LRWP_LIMITS_QUEUE=12",
            b"LRWP_DISPATCHER_LINK=127.0.0.1:1, [::1]:2",
            b"LRWP_LIMITS_BODY=1KB",
        ),
        joined(b'[pools.p]\ntarget = "m:a"', b"LRWP_WORKER_ENV=A=b,C=d", b"LRWP_WORKER_SECRET_FILE=~/secret"),
        b"[dispatcher]\nhtpp = 1979-05-27T07:32:00Z\n",
        b"999999999999h",
    ),
    words=(
        *(
            b"[dispatcher]\n|[limits]\n|[applications.a]\n|[pools.p]\n|[[pools]]\n|\x00;|http = |link = "
            b'|docroot = |body = |queue = |heartbeat = |target = |env = |"|\'|"""|\\u0000|\\n|{|}|[|]|=|.'
            b'|,|#|\n|"~x/y"|true|nan|-inf|1e999|1_000|-1|0.0001|"30s"|"1.5h"|"64KiB"|"1TB"'
            b'|1979-05-27|07:32:00|ms|GiB|"unix:///a"|LRWP_LIMITS_QUEUE=|LRWP_LIMITS_BODY='
            b"|LRWP_WORKER_ENV=|LRWP_DISPATCHER_HTTP=|false"
        ).split(b"|"),
        b"0x" + b"f" * 500,
        b"9" * 400,
        b"9" * 5000,
    ),
    each=20_000,  # of tomllib, for keys of a thousand parts: a file is not what strangers send
    fixed=200_000,
)
