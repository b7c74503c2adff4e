"""`python -m trainable predict MODEL`: the labels of texts.

`--text` prints a table; `--file` gives every row back with two columns more, as JSONL. A file goes
through in groups of about a thousand documents, so memory does not grow with it.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from trainable.choice import Choice
from trainable.errors import UsageError, UserError
from trainable.paths import expand
from trainable.terminal import Parser, note
from trainable.text_rows import SUFFIXES, Row, check_source, in_groups, read_rows

if TYPE_CHECKING:
    from trainable.inference import Predictor, Scored

PREDICTED: Final = "predicted"
PROBABILITIES: Final = "probabilities"
"""The columns of the answer: names of labels, the most probable first, and beside them numbers."""

_PROGRESS_EVERY_S: Final = 10.0
_WIDTH: Final = 76

_now = time.monotonic


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(
        prog="python -m trainable predict",
        description="Name the labels of texts: those whose probability reaches the model's "
        "threshold, the most probable first.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder of python -m trainable ... --out")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text", action="append", dest="texts", metavar="TEXT", help="a document; repeatable"
    )
    source.add_argument(
        "--file", metavar="FILE", help=f"{', '.join(SUFFIXES)}, or - for JSONL on standard input"
    )
    parser.add_argument("--text-column", default="text", metavar="NAME", help="default: text")
    parser.add_argument(
        "--out", metavar="FILE", help="new file for the answers (default: standard output)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="for all labels, instead of the model's"
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="name K labels, whatever their probability"
    )
    parser.add_argument("--json", action="store_true", help="JSONL for --text too")
    return parser


def run(options: argparse.Namespace) -> int:
    """Answer every text."""
    choice = Choice(threshold=options.threshold, top=options.top)
    if options.file is not None:
        check_source(options.file)
    for text in options.texts or ():
        _check_unicode(text)
    out = None if options.out is None else _new_file(options.out)
    # only now: a mistake must not wait for torch
    from trainable.inference import Predictor

    predictor = Predictor.load(options.model)
    if options.texts and out is None and not options.json:
        probs_NL = predictor.probabilities(options.texts)
        found = predictor.labels(probs_NL, choice)
        best = predictor.labels(probs_NL, Choice(top=1))
        print("\n\n".join(map(_table, options.texts, found, best)))
        return 0
    rows: Iterable[Row] = ({"text": text} for text in options.texts or ())
    column = "text"
    if options.file is not None:
        rows, column = read_rows(options.file, options.text_column), options.text_column
    with _destination(out) as file:
        _answer(predictor, rows, column, choice, file)
    if out is not None:
        note(f"answers written to {out}")
    return 0


def _answer(
    predictor: "Predictor", rows: Iterable[Row], column: str, choice: Choice, file: IO[str]
) -> None:
    done = unlabelled = 0
    started = told = _now()
    for group in in_groups(rows, predictor.chunk_docs):
        probs_NL = predictor.probabilities([row[column] for row in group])
        for row, found in zip(group, predictor.labels(probs_NL, choice), strict=True):
            file.write(json.dumps(_with_answer(row, found), ensure_ascii=False) + "\n")
            unlabelled += not found
        file.flush()
        done += len(group)
        now = _now()
        if now - told >= _PROGRESS_EVERY_S:
            note(f"{done} documents, {done / (now - started):.3g} a second")
            told = now
    if file is not sys.stdout:
        note(f"{done} documents, {unlabelled} of them without a label")


def _with_answer(row: Row, found: Sequence["Scored"]) -> dict[str, object]:
    for name in (PREDICTED, PROBABILITIES):
        if name in row:
            raise UsageError(
                f"the rows have a column '{name}' already, which is the answer's: rename it"
            )
    names, probs = [name for name, _ in found], [prob for _, prob in found]
    return {**row, PREDICTED: names, PROBABILITIES: probs}


def _table(text: str, found: Sequence["Scored"], best: Sequence["Scored"]) -> str:
    """The text in one line, and a line a label."""
    line = " ".join(text.split())
    title = line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
    if not found:
        [(name, prob)] = best
        return f"{title}\n  no label; the most probable is {name} ({prob:.3f})"
    width = max(len(name) for name, _ in found)
    return "\n".join([title, *(f"  {name:<{width}}  {prob:.3f}" for name, prob in found)])


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:  # an argument of other bytes than the terminal's
        raise UsageError(f"--text: not valid Unicode ({error.reason})") from None


def _new_file(name: str) -> Path:
    out = expand(name, "--out")
    if out.exists():
        raise UsageError(f"--out {name} exists: name a new file")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(f"--out {name}: {out.parent} is not a folder you can write to")
    return out


@contextlib.contextmanager
def _destination(out: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears when all is in it."""
    if out is None:
        yield sys.stdout
        return
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(out)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
