"""Templates: Jinja2, always escaped, and run into pieces that are not joined before they are sent.

::

    templates = Templates("templates")           # a folder beside this module
    page = templates["page.html"]
    greeting = Template("Good morning, {{ name }}")

    def show(request, name):
        return page.pieces(name=name, greeting=greeting.pieces(name=name))
"""

from worker.templates.errors import TemplateError
from worker.templates.rendered import Rendered
from worker.templates.template import Template, Templates

__all__ = ["Rendered", "Template", "TemplateError", "Templates"]
