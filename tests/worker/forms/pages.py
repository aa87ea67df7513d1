"""Reading pages in tests: their elements as a browser would see them."""

from __future__ import annotations

from html.parser import HTMLParser

from worker import Application
from worker.testing import Client


class Page(HTMLParser):
    """The elements of a page, in order, each as its name and attributes, and the text up to the next tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._is_inside = False
        self.feed(str(source))  # not as Markup, which would escape what the parser makes of it
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self._is_inside = True

    def handle_endtag(self, tag):
        self._is_inside = False

    def handle_data(self, data):
        if self._is_inside:
            self.texts[-1] += data

    @property
    def skeleton(self) -> list:
        """The page without its texts and values."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]

    def named(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of the controls of this name."""
        return [attributes for _, attributes in self.elements if attributes.get("name") == name]

    def by_id(self, id_: str) -> tuple[str, dict[str, str | None], str]:
        """The element of this id: its name, its attributes and its text."""
        [found] = [
            (tag, attributes, text)
            for (tag, attributes), text in zip(self.elements, self.texts, strict=True)
            if attributes.get("id") == id_
        ]
        return found

    def value(self, id_: str) -> str | None:
        """The text that the control of this id shows."""
        tag, attributes, text = self.by_id(id_)
        return text.removeprefix("\n") if tag == "textarea" else attributes.get("value")

    def chosen(self, id_: str) -> list[str | None]:
        """The values of the options that are chosen in the control of this id."""
        place = next(i for i, (_, attributes) in enumerate(self.elements) if attributes.get("id") == id_)
        name = self.elements[place][1].get("name", id_)
        return [
            attributes.get("value")
            for tag, attributes in self.elements[place:]
            if ("checked" in attributes and attributes.get("name") == name)
            or ("selected" in attributes and tag == "option")
        ]


def client_of(formlet, path: str = "/form", session: dict | None = None) -> Client:
    """A client of one Formlet, whose session is a dict."""
    app = Application("test")
    kept = {} if session is None else session

    @app.wrap
    def with_session(handler):
        def answer(request):
            request.session = kept
            return handler(request)

        return answer

    app.servlet(path)(formlet)
    return Client(app)
