"""The only place that prints. Text of users and files is never read as markup."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import IO, Final, Self

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from trainable.errors import one_line

_OBEYED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but for tab and newline."""


class Terminal:
    """Results on standard output; warnings and errors, one line each, on standard error."""

    def __init__(self, out: Console | None = None, err: Console | None = None) -> None:
        self.out = out or _console()
        self.err = err or _console(stderr=True)
        self.headline = ""
        """What a search that runs is part of; stands above its live table."""

    @classmethod
    def quiet(cls) -> Self:
        """One that prints warnings and errors alone."""
        return cls(out=_console(quiet=True))

    def say(self, text: str = "", style: str | None = None) -> None:
        """One line of text, never wrapped, so that paths and links can be copied."""
        self.out.print(text, style=style, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A sentence, wrapped at the terminal's width."""
        self.out.print(text, markup=False)

    def show(self, *renderables: RenderableType) -> None:
        """Tables and the like, each after an empty line."""
        for renderable in renderables:
            self.out.print()
            self.out.print(renderable, markup=False, emoji=False)

    @contextlib.contextmanager
    def progress(self, words: str = "features of {}") -> Iterator[Callable[[str, int, int], None]]:
        """Bars with the time left; gives what is called with (what, done, total)."""
        if not self.out.is_terminal:  # there, even hidden bars leave an empty line
            yield lambda *_: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=self.out, transient=True) as bars:

            def update(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(_OBEYED.sub("?", words.format(what)), total=total)
                bars.update(tasks[what], completed=done)

            yield update

    def warn(self, text: str) -> None:
        """Something that the user should know and that stops nothing."""
        self._line("warning: ", "yellow", text)

    def fail(self, error: BaseException | str) -> None:
        """The one line that an error ends with."""
        text = one_line(error) if isinstance(error, BaseException) else error
        self._line("error: ", "bold red", text)

    def show_cursor(self) -> None:
        """What a live table does at its end, for one that met none."""
        if self.out.is_terminal:
            self.out.show_cursor(True)

    def last_words(self, text: str) -> None:
        """`fail`, for a process that ends at once: a live table gives the cursor back first."""
        self.show_cursor()
        self.fail(text)
        for stream in (self.out.file, self.err.file):
            stream.flush()

    def _line(self, label: str, style: str, text: str) -> None:
        # one piece: a notebook shows each in a box of its own
        self.err.print(Text.assemble((label, style), text), markup=False, soft_wrap=True)


class Printable:
    """What it wraps, without characters that a terminal would obey.

    A search folder may be a stranger's, and an escape sequence in a reason could forge a line.
    A console does so to all that it prints but to a live display, which comes after its hooks.
    """

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            text = segment.text if segment.control else _OBEYED.sub("?", segment.text)
            yield Segment(text, segment.style, segment.control)


class _OnlyPrintable(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [Printable(renderable) for renderable in renderables]


def _console(*, stderr: bool = False, quiet: bool = False) -> Console:
    # cells of tables ask the console, whatever `print` was told
    console = Console(highlight=False, markup=False, emoji=False, stderr=stderr, quiet=quiet)
    console.push_render_hook(_OnlyPrintable())
    return console


def drop_output(stream: IO[str] | None = None) -> None:
    """Point standard output nowhere, after its reader has gone (`... | head`)."""
    stream = sys.stdout if stream is None else stream
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
