"""A page -> HTML. Everything that is text is escaped by Jinja; what Plotly draws goes in as JSON.

The file needs nothing but itself: Plotly's library is inside, compressed. What was traded away: a
browser from before 2023, which has no DecompressionStream, shows the tables alone.
"""

import base64
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.report_page.figures import THEMES
from search.report_page.parts import Figure, Page

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE: Final = Path(__file__).parent
_TEMPLATE: Final = "page.html.jinja"


def render(page: Page, footer: str) -> str:
    """The whole file.

    Raises:
        ValueError: a figure holds NaN or an infinity, which JSON has not.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    house = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    house.filters["code"] = _code
    house.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    figures = [_plain_figure(figure) for figure in page.figures]
    return house.get_template(_TEMPLATE).render(
        page=page,
        footer=footer,
        themes={name: dict(colours) for name, colours in THEMES.items()},
        figures=figures,
        plotly=_plotly() if figures else "",
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        program=Markup((_HERE / "page.js").read_text(encoding="utf-8")),
    )


def _code(text: str) -> "Markup":
    """Text in which what stands between backticks is a command; all of it escaped."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # one backtick is left over: it is no mark
        return escape(text)
    wrapped = (Markup("<code>%s</code>") % p if i % 2 else p for i, p in enumerate(parts))
    return Markup("").join(wrapped)


def _plain_figure(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "traces": list(figure.traces), "layout": figure.layout}


def _plotly() -> str:
    """The library, gzipped, in base64 (which has no letter that HTML reads)."""
    import importlib.resources

    library = importlib.resources.files("plotly") / "package_data" / "plotly.min.js"
    return base64.b64encode(gzip.compress(library.read_bytes(), 6, mtime=0)).decode("ascii")
