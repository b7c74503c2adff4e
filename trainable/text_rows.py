"""Documents to classify, one at a time: JSONL, CSV, plain lines. A file is never read whole.

(`datasets.own_rows` reads documents to learn from, all of them, with their labels.)
"""

import contextlib
import csv
import difflib
import io
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from trainable.datasets.assemble import name_some
from trainable.datasets.own_rows import check_unicode, complain, json_rows, show_value
from trainable.errors import UsageError
from trainable.paths import expand, is_folder

STDIN: Final = "-"
SUFFIXES: Final = (".jsonl", ".csv", ".txt")

_STDIN_NAME: Final = Path("standard input")

Row = Mapping[str, Any]
T = TypeVar("T")


def check_source(source: str) -> None:
    """Check that `read_rows` can begin: a file that is there, of a kind that is known.

    Raises:
        UsageError: it is not.
    """
    if source == STDIN:
        return
    path = expand(source, "--file")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--file must end in {', '.join(SUFFIXES)}, or be -, got '{source}'")
    if is_folder(path, "--file") or not path.exists():
        what = "is a folder" if path.exists() else "does not exist"
        raise UsageError(f"--file '{source}' {what}: give a {', '.join(SUFFIXES)} file")


def read_rows(source: str, column: str = "text") -> Iterator[Row]:
    """The rows of a file or of standard input, each with a text under `column`.

    Args:
        source: .jsonl (an object a line), .csv (with a header), .txt (a document a line; the row
            has nothing but `column`), or `-`: JSONL from standard input. Blank lines are skipped.
        column: whose value must be text; it may be empty.

    Raises:
        UsageError: it cannot be read, or a line is wrong; one line that names file and line.
    """
    path = _STDIN_NAME if source == STDIN else expand(source, "--file")
    empty = True
    try:
        for line, row in _numbered(path, column):
            empty = False
            _check(path, line, row, column)
            yield row
    except OSError as error:
        raise UsageError(f"--file '{source}' cannot be read: {error.strerror or error}") from error
    if empty:
        raise UsageError(f"--file '{source}' holds no documents")


def in_groups(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """The rows, `size` at a time.

    >>> list(in_groups("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rows = iter(rows)
    while group := list(itertools.islice(rows, size)):
        yield group


def _numbered(path: Path, column: str) -> Iterator[tuple[int, Row]]:
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = sys.stdin.buffer
        if path is not _STDIN_NAME:
            file = stack.enter_context(path.open("rb"))
        kind = path.suffix.lower()
        if kind == ".csv":
            yield from _csv_rows(path, file)
        elif kind == ".txt":
            yield from _lines(path, file, column)
        else:
            yield from json_rows(path, file)


def _lines(path: Path, file: IO[bytes], column: str) -> Iterator[tuple[int, Row]]:
    for line, content in enumerate(file, 1):
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise complain(path, line, f"not UTF-8 ({error.reason})") from error
        if text:
            yield line, {column: text}


def _csv_rows(path: Path, file: IO[bytes]) -> Iterator[tuple[int, Row]]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    limit = csv.field_size_limit(sys.maxsize)
    try:
        header = next(reader, [])
        start = reader.line_num + 1
        for values in reader:
            if values and len(values) != len(header):
                problem = f"{len(values)} cells under {len(header)} columns: quote the text"
                raise complain(path, start, problem)
            if values:
                yield start, dict(zip(header, values, strict=True))
            start = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise complain(path, reader.line_num + 1, f"not UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise complain(path, reader.line_num, f"not valid CSV ({error})") from error
    finally:
        csv.field_size_limit(limit)
        text.detach()  # whoever opened the file closes it


def _check(path: Path, line: int, row: Row, column: str) -> None:
    if column not in row:
        near = difflib.get_close_matches(column, list(row), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise complain(
            path,
            line,
            f"no column '{column}': {hint}Found {name_some(list(row))}; name it with --text-column",
        )
    if not isinstance(row[column], str):
        raise complain(path, line, f"'{column}' must be text, got {show_value(row[column])}")
    check_unicode(path, line, row[column])
