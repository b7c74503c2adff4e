"""What a page is made of: plain values, which the template turns into HTML.

All text here is plain text; the template escapes it. What Plotly shows goes through
`search.report_page.figures.plain`, since Plotly reads a little HTML in any text.
"""

import dataclasses
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """One of the big numbers."""

    label: str
    value: str
    detail: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """A row of them."""

    items: tuple[Number, ...]
    kind: ClassVar[str] = "numbers"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Caution:
    """What a reader must know before trusting a number."""

    title: str
    text: str
    serious: bool = True
    """False: good to know, and no reason to doubt."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cautions:
    """All of them; none is said too."""

    items: tuple[Caution, ...]
    kind: ClassVar[str] = "cautions"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value lies in its range: a cell that is drawn. Both in [0, 1]."""

    at: float
    other: float | None = None
    """Of the paper's value."""


Cell = str | Place


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of text; columns from `texts` on are numbers, and aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[int] = frozenset({0})
    """Columns that hold words."""
    strong: frozenset[int] = frozenset()
    """Rows that matter most."""
    notes: tuple[str, ...] = ()
    """Sentences below it."""
    folded: bool = False
    """Whether it is shown only when asked for."""
    kind: ClassVar[str] = "table"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A picture for Plotly, with the sentence that says what one sees."""

    name: str
    """Of its element: letters, digits and dashes."""
    title: str
    caption: str
    traces: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    height: int = 380
    """Pixels."""
    least_width: int = 0
    """Pixels; where the window is narrower the picture is scrolled, not the page."""
    kind: ClassVar[str] = "figure"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Small figures side by side as far as the window goes."""

    figures: tuple[Figure, ...]
    kind: ClassVar[str] = "grid"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """Colour and name of each status that the figures show."""

    entries: tuple[tuple[str, str], ...]
    """Name of the colour, and the words."""
    kind: ClassVar[str] = "legend"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Commands:
    """What to type next: what it does, and the line."""

    lines: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "commands"


Part = Numbers | Text | Cautions | Table | Figure | Grid | Legend | Commands


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what stands below it."""

    name: str
    """Of its anchor."""
    title: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str
    status: str
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All of them, in order."""
        found: list[Figure] = []
        for section in self.sections:
            for part in section.parts:
                if isinstance(part, Figure):
                    found.append(part)
                elif isinstance(part, Grid):
                    found.extend(part.figures)
        return tuple(found)
