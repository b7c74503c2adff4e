"""A comparison as files: RUNS_DIR/compare-NAME/, written again whenever it is made.

    comparison.json   all of it, scores in [0, 1]
    comparison.md     the tables
    scores.csv        a line a loss and kind of score
    differences.csv   a line a pair of models

No spec.yaml and no journal: no command takes it for a search.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from search.compare.numbers import KINDS, ROWS
from search.compare.pairs import SCORES
from search.compare.sheets import Sheet
from search.files import write_json
from trainable.errors import UserError
from trainable.paths import write_text

JSON_NAME: Final = "comparison.json"
MARKDOWN_NAME: Final = "comparison.md"
SCORES_NAME: Final = "scores.csv"
DIFFERENCES_NAME: Final = "differences.csv"
_WORDY: Final = 2


def folder_of(runs_dir: Path, name: str) -> Path:
    """Where the comparison of that name lies."""
    return runs_dir / f"compare-{name}"


def write_comparison(folder: Path, content: Mapping[str, Any], tables: Sequence[Sheet]) -> None:
    """Write all files.

    Raises:
        UserError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / MARKDOWN_NAME, markdown(content, tables))
        write_text(folder / SCORES_NAME, scores_csv(content))
        write_text(folder / DIFFERENCES_NAME, differences_csv(content))
        write_json(folder / JSON_NAME, dict(content))
    except OSError as error:
        raise _cannot(folder, error) from None


def write_copy(path: Path, content: Mapping[str, Any], tables: Sequence[Sheet]) -> None:
    """Write the comparison to a file of the user's: .json, .csv (the scores), else Markdown.

    Raises:
        UserError: it cannot be written.
    """
    kinds = {
        ".json": lambda: json.dumps(dict(content), indent=2, ensure_ascii=False) + "\n",
        ".csv": lambda: scores_csv(content),
    }
    text = kinds.get(path.suffix.lower(), lambda: markdown(content, tables))()
    try:
        write_text(path, text)
    except OSError as error:
        raise _cannot(path, error) from None


def markdown(content: Mapping[str, Any], tables: Sequence[Sheet]) -> str:
    """The tables with their notes."""
    parts = [f"# Comparison {content['name']}", f"Data: {content['dataset']}."]
    parts += [_markdown_of(sheet) for sheet in tables]
    return "\n\n".join(parts) + "\n"


def scores_csv(content: Mapping[str, Any]) -> str:
    """`label, kind, row, micro_f1, macro_f1` and the ends of their intervals, in [0, 1]."""
    ends = [f"{score}_{end}" for score in SCORES for end in ("low", "high")]
    lines: list[list[Any]] = [["label", "kind", "row", *SCORES, *ends]]
    parts = [("svm", content["svm"])] if content["svm"] else []
    parts += [(row["label"], row) for row in content["rows"]]
    for label, part in parts:
        for kind in ("published", "paper_values", "tuned", "test"):
            for row, block in _known(part.get(kind)):
                known = (part["intervals"] or {}).get(row) if kind == "test" else None
                bounds = [end for score in SCORES for end in (known or {}).get(score, ("", ""))]
                lines.append([label, kind, row, *(block[score] for score in SCORES), *bounds])
    return _csv(lines)


def differences_csv(content: Mapping[str, Any]) -> str:
    """A line a pair and score: difference, interval, p, p after Holm, noise or not."""
    fields = ("difference", "low", "high", "p", "p_holm", "seeds", "noise")
    lines: list[list[Any]] = [["first", "second", "score", *fields]]
    for pair in (*content["pairs"], *content["against_svm"]):
        for score in SCORES:
            found = pair[score]
            lines.append(
                [pair["first"], pair["second"], score, *(found[field] for field in fields)]
            )
    return _csv(lines)


def _known(blocks: Mapping[str, Any] | None) -> list[tuple[str, Mapping[str, Any]]]:
    if blocks is None:
        return []
    return [(row, blocks[row]) for row in (*ROWS, *KINDS) if row in blocks]


def _markdown_of(sheet: Sheet) -> str:
    bars = ["---" if n < _WORDY else "---:" for n in range(len(sheet.columns))]
    lines = [sheet.columns, bars, *sheet.rows]
    table = "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)
    notes = "\n\n".join(sheet.notes)
    return f"## {sheet.title}\n\n{table}" + (f"\n\n{notes}" if notes else "")


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _cannot(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be written ({error.strerror}); what was searched is safe: free space or "
        "choose another place, and run the same command again"
    )
