"""Rows of the user's own file: .jsonl, .csv or .parquet, one checked record each.

Every complaint names the file and the line (Parquet: the row, counted from 1).
"""

import csv
import difflib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from trainable.config import TrialConfig
from trainable.datasets.assemble import name_some
from trainable.errors import UsageError, unknown_name
from trainable.paths import is_folder


class Row(NamedTuple):
    """One record; `split` is None if the file has no split column."""

    line: int
    text: str
    labels: tuple[str, ...]
    split: str | None


RawRows = Iterator[tuple[int, Mapping[str, Any]]]


def read_rows(path: Path, config: TrialConfig) -> list[Row]:
    """Read and check every row of `path`.

    Raises:
        UsageError: see the module's tests, one for each complaint.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"own data must be a file ending in {', '.join(_READERS)}, got '{path}'")
    folder = is_folder(path, "--data")
    if not path.is_file():
        what = "is a folder" if folder else "does not exist"
        raise UsageError(f"--data '{path}' {what}: give a .jsonl, .csv or .parquet file")
    try:
        rows = [_check(path, line, raw, config) for line, raw in read(path, config)]
    except OSError as error:
        raise UsageError(f"--data '{path}' cannot be read: {error.strerror or error}") from error
    bare = next((row for row in rows if row.split is None), None)
    if bare is not None and any(row.split for row in rows):
        raise complain(path, bare.line, f"no '{config.split_column}', which other lines have")
    if not rows:
        raise UsageError(f"--data '{path}' holds no documents")
    return rows


def complain(path: Path, line: int, problem: str) -> UsageError:
    """The error for one line of a file."""
    place = "row" if path.suffix.lower() == ".parquet" else "line"
    return UsageError(f"{path}, {place} {line}: {problem}")


def _check(path: Path, line: int, raw: Mapping[str, Any], config: TrialConfig) -> Row:
    _need_columns(path, line, raw, config)
    text = raw[config.text_column]
    if not isinstance(text, str):
        raise complain(path, line, f"'{config.text_column}' must be text, got {show_value(text)}")
    if not text.strip():
        raise complain(path, line, f"'{config.text_column}' is empty: fill it or drop the line")
    check_unicode(path, line, text)
    labels = _check_labels(path, line, raw[config.labels_column], config)
    split = raw.get(config.split_column)
    if config.split_column in raw and split not in ("train", "val", "test"):
        problem = unknown_name("split", split, ("train", "val", "test"))
        raise complain(path, line, f"column '{config.split_column}': {problem}")
    return Row(line, text, labels, split)


def _need_columns(path: Path, line: int, raw: Mapping[str, Any], config: TrialConfig) -> None:
    wanted = [("text", config.text_column), ("labels", config.labels_column)]
    if config.split_column != TrialConfig.__dataclass_fields__["split_column"].default:
        wanted.append(("split", config.split_column))
    for role, column in wanted:
        if column not in raw:
            near = difflib.get_close_matches(column, list(raw), n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise complain(
                path,
                line,
                f"no column '{column}' for the {role}: {hint}Found {name_some(list(raw))}; "
                f"name it with {role}_column",
            )


def _check_labels(path: Path, line: int, value: Any, config: TrialConfig) -> tuple[str, ...]:
    column = config.labels_column
    if isinstance(value, str) and path.suffix.lower() != ".jsonl":
        value = [part for part in value.split(config.label_separator) if part.strip()]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise complain(path, line, f"'{column}' must be a list of strings, got {show_value(value)}")
    for label in value:
        if not isinstance(label, str):
            raise complain(path, line, f"'{column}' must hold strings, got {show_value(label)}")
        if not label.strip():
            raise complain(path, line, f"'{column}' holds an empty label")
        check_unicode(path, line, label)
    return tuple(sorted({label.strip() for label in value}))


def check_unicode(path: Path, line: int, text: str) -> None:
    """Refuse what no tokenizer takes.

    Raises:
        UsageError: half of a surrogate pair.
    """
    # JSON can spell half of a surrogate pair, which no tokenizer takes
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise complain(path, line, f"not valid Unicode ({error.reason})") from error


def _read_jsonl(path: Path, config: TrialConfig) -> RawRows:  # noqa: ARG001 - a reader
    with path.open("rb") as file:
        yield from json_rows(path, file)


def json_rows(path: Path, lines: Iterable[bytes]) -> RawRows:
    """Line number and object of every line of JSON that is not blank, one at a time.

    Raises:
        UsageError: a line is no JSON object; names `path` and the line.
    """
    for line, content in enumerate(lines, 1):
        if not content.strip():
            continue
        try:
            raw = json.loads(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise complain(path, line, f"not UTF-8 ({error.reason})") from error
        except (ValueError, RecursionError) as error:
            raise complain(path, line, f"not a JSON object ({error})") from error
        if not isinstance(raw, dict):
            raise complain(path, line, f"must be a JSON object, got {show_value(raw)}")
        yield line, raw


def _read_csv(path: Path, config: TrialConfig) -> RawRows:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise complain(path, line, f"not UTF-8 ({error.reason})") from error
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    limit = csv.field_size_limit(sys.maxsize)
    try:
        header = next(reader, None)
        if header is None:
            return
        _check_header(path, header, config)
        start = reader.line_num + 1
        for values in reader:
            if values and len(values) != len(header):
                problem = f"{len(values)} cells under {len(header)} columns: quote the text"
                raise complain(path, start, problem)
            if values:
                yield start, dict(zip(header, values, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise complain(path, reader.line_num, f"not valid CSV ({error})") from error
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, config: TrialConfig) -> RawRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        return
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        _check_header(path, names, config)
        wanted = [config.text_column, config.labels_column, config.split_column]
        used = [name for name in wanted if name in names]
        line = 0
        for batch in file.iter_batches(columns=used):
            for raw in batch.to_pylist():
                line += 1
                yield line, raw
    except pa.ArrowException as error:
        raise UsageError(f"--data '{path}' is no Parquet file, or damaged: {error}") from error


def _check_header(path: Path, header: Sequence[str], config: TrialConfig) -> None:
    for column in (config.text_column, config.labels_column, config.split_column):
        if header.count(column) > 1:
            raise complain(path, 1, f"column '{column}' occurs {header.count(column)} times")
    _need_columns(path, 1, dict.fromkeys(header), config)


def show_value(value: Any) -> str:
    """Type and beginning of a value, for a complaint."""
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"


_READERS: Final[Mapping[str, Callable[[Path, TrialConfig], RawRows]]] = MappingProxyType(
    {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
)
