"""Jinja2 with our rules: always escaped, nothing undefined, read once unless asked to look again."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2.ext import Extension

from worker.templates.filters import cents, thousands, write_date
from worker.templates.rendered import printed, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2.lexer import Token, TokenStream

_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "cents": cents,
    "date": write_date,
    "safe": safe,
    "thousands": thousands,
}

Source = tuple[str, str, Callable[[], bool]]
"""Of a template: its text, the file that it is from, and a function that tells whether it is still that."""


class AlwaysEscaped(Extension):
    """Refuses ``{% autoescape %}``: HTML is marked where it is printed, with ``|safe``, value by value."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Pass the tokens of a template on, unless one of them begins that tag."""
        is_tag = False
        for token in stream:
            if is_tag and token.test("name:autoescape"):
                raise jinja2.TemplateSyntaxError(
                    "escaping cannot be switched; mark a value that is HTML with |safe",
                    token.lineno,
                    stream.name,
                    stream.filename,
                )
            is_tag = token.type == "block_begin"
            yield token


class Environment(jinja2.Environment):
    """Jinja with our rules.

    Args:
        read: returns the source of a template by its name; without it, templates know of no others.

    Attributes:
        names: what messages call a template, by the file that it is from.
    """

    def __init__(self, read: Callable[[str], Source] | None = None) -> None:
        super().__init__(
            autoescape=True,
            auto_reload=False,
            cache_size=-1,  # the names of templates come from the program, and so are few
            extensions=[AlwaysEscaped],
            finalize=printed,
            loader=jinja2.FunctionLoader(read) if read else None,
            lstrip_blocks=True,
            trim_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self.filters.update(_FILTERS)
        self.names: dict[str, str] = {}

    def add_unfiled(self, source: str, name: str) -> str:
        """Let tracebacks show the lines of a template that is in no file; return what stands for its file."""
        filename = f"<{name}>"
        self.names[filename] = name
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        return filename

    def compile_unfiled(self, source: str, name: str) -> jinja2.Template:
        """Return a template that is in no file.

        Raises:
            jinja2.TemplateSyntaxError: its text is malformed.
        """
        code = self.compile(source, name, self.add_unfiled(source, name))
        return jinja2.Template.from_code(self, code, self.make_globals(None))
