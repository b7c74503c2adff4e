"""The tables of a comparison, as text: the same for a terminal and for Markdown. Pure.

Scores are per cent, `micro/macro` in one cell, as in the paper's tables 2 and 3.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.compare.numbers import KINDS, ROWS
from search.compare.pairs import CONVINCING, SCORES
from search.published import ENCODER, SOURCE
from search.words import duration

_NONE: Final = "-"
_WORDS: Final = {"micro_f1": "micro", "macro_f1": "macro"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table and what is to be said of it."""

    title: str
    columns: tuple[str, ...]
    """The first two are words, the others numbers."""
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    numbers: bool = True
    """Whether all but the first two columns are numbers."""


def sheets(content: Mapping[str, Any]) -> tuple[Sheet, ...]:
    """All tables of a comparison, the paper's first.

    Args:
        content: `search.compare.numbers.comparison`.
    """
    found = [_scores(content), _kinds(content), _gains(content)]
    if content["pairs"] or content["against_svm"]:
        found.append(_differences(content))
    return (*found, _searches(content))


def _scores(content: Mapping[str, Any]) -> Sheet:
    """The paper's table 2."""
    rows: list[tuple[str, ...]] = []
    for label, kind, part in _parts(content):
        rows += _block_rows(label, kind, part, ROWS)
    return Sheet(
        title="micro-F1/macro-F1 by frequency of labels, per cent (the paper's table 2)",
        columns=("loss", "", *ROWS),
        rows=tuple(rows),
        notes=_score_notes(content),
    )


def _kinds(content: Mapping[str, Any]) -> Sheet:
    """The paper's table 3."""
    rows: list[tuple[str, ...]] = []
    for label, kind, part in _parts(content):
        if kind == "paper_values":
            continue  # no epoch records these; they are known of a winner alone
        rows += _block_rows(label, kind, {**part, "intervals": None}, KINDS)
    return Sheet(
        title="micro-F1/macro-F1 of single- and multi-label documents, per cent (table 3)",
        columns=("loss", "", "single-label", "multi-label"),
        rows=tuple(rows),
    )


def _parts(content: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Label, kind of row and what has it, in the order of the tables."""
    found = []
    if content["svm"] is not None:
        found += [("svm", kind, content["svm"]) for kind in ("published", "test")]
    for row in content["rows"]:
        kinds = ("published", "paper_values", "tuned", "test")
        found += [(row["label"], kind, row) for kind in kinds]
    return found


_ROW_WORDS: Final = {
    "published": "published, test",
    "paper_values": "paper's, val",
    "tuned": "tuned, val",
    "test": "tuned, test",
}


def _block_rows(
    label: str, kind: str, part: Mapping[str, Any], columns: Sequence[str]
) -> list[tuple[str, ...]]:
    blocks = part.get(kind)
    cells = [_cell((blocks or {}).get(column)) for column in columns]
    if all(cell == _NONE for cell in cells):
        return []
    words = "ours, test" if (label, kind) == ("svm", "test") else _ROW_WORDS[kind]
    rows = [(label, words, *cells)]
    intervals = part.get("intervals")
    if kind == "test" and intervals:
        for place, name in enumerate(("95 % from", "to")):
            ends = [_end(intervals.get(column), place) for column in columns]
            rows.append((label, f"  {name}", *ends))
    return rows


def _score_notes(content: Mapping[str, Any]) -> tuple[str, ...]:
    notes = ["The intervals are of resampled test documents; the test set was opened once a search"]
    again = [row["label"] for row in content["rows"] if row["test_evaluations"] > 1]
    if again:
        notes[0] += f", but more than once for {', '.join(again)}"
    notes[0] += "."
    starts = {row["start"] for row in content["rows"]} - {"paper's values"}
    if starts:
        notes.append(f'"paper\'s" stands for the {" or the ".join(sorted(starts))}: trial 0.')
    if any(row["published"] for row in content["rows"]):
        reasons = list(
            dict.fromkeys(why for row in content["rows"] for why in row["unlike_published"])
        )
        unlike = f"; ours has {', '.join(reasons)}: not comparable" if reasons else ""
        notes.append(f"Published: {SOURCE} and 3, {ENCODER} on all documents{unlike}.")
    if content["svm"] is None:
        notes.append("There is no SVM on these data: `python -m search baseline svm` trains it.")
    return tuple(notes)


def _gains(content: Mapping[str, Any]) -> Sheet:
    rows = []
    for row in content["rows"]:
        gains = [row["gain"][score] for score in SCORES]
        known = next((gain for gain in gains if gain), None)
        seeds = "1" if known is None else str(known["n"])
        rows.append((row["label"], seeds, *map(_gain_cell, gains), _gain_verdict(gains)))
    return Sheet(
        title="gain of the tuned over the paper's values, on validation, points",
        columns=("loss", "seeds", "micro", "macro", ""),
        rows=tuple(rows),
        notes=(_gain_note(content),),
    )


def _gain_cell(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return _NONE
    ends = f" ({_signed(gain['low'])} to {_signed(gain['high'])})" if "low" in gain else ""
    return f"{_signed(gain['mean'])}{ends}"


def _gain_verdict(gains: Sequence[Mapping[str, Any] | None]) -> str:
    known = [gain for gain in gains if gain]
    if not known:
        return "the paper's values finished no epoch"
    if known[0]["paper_values_won"]:
        return "the paper's values won"
    if "noise" not in known[0]:
        return "one seed"
    named = zip(_WORDS.values(), gains, strict=True)
    said = [f"{word}: {'noise' if g['noise'] else 'more'}" for word, g in named if g]
    return ", ".join(said)


def _gain_note(content: Mapping[str, Any]) -> str:
    alone = [row["label"] for row in content["rows"] if row["seeds"] == 1]
    if not alone:
        return "Means over seeds that the searches have not used, with 95 % intervals over them."
    return (
        f"Of {', '.join(alone)} this is one seed, and the best of all trials on the documents that "
        "it was chosen on: it flatters the tuned. Whether it is more than noise, --confirm K tells."
    )


def _differences(content: Mapping[str, Any]) -> Sheet:
    pairs = [*content["pairs"], *content["against_svm"]]
    rows = [
        (
            f"{pair['first']} - {pair['second']}",
            _verdict(pair),
            *(_difference_cell(pair[score]) for score in SCORES),
        )
        for pair in pairs
    ]
    return Sheet(
        title="differences on test, points: which are more than noise?",
        columns=("models", "", "micro", "macro"),
        rows=tuple(rows),
        notes=(*_in_words(content), *_difference_notes(content)),
    )


def _difference_cell(found: Mapping[str, Any]) -> str:
    return (
        f"{_signed(found['difference'])} ({_signed(found['low'])} to {_signed(found['high'])}), "
        f"p {_p(found['p_holm'])}"
    )


def _verdict(pair: Mapping[str, Any]) -> str:
    real = [word for score, word in _WORDS.items() if not pair[score]["noise"]]
    return f"real: {' and '.join(real)}" if real else "noise"


def _in_words(content: Mapping[str, Any]) -> list[str]:
    """The pairs of tuned models in sentences."""
    said = []
    for score, word in _WORDS.items():
        real = [_better(pair, pair[score]) for pair in content["pairs"] if not pair[score]["noise"]]
        all_noise = f"{word}-F1: every difference between two losses may be noise."
        others = "" if len(real) == len(content["pairs"]) else "; all others may be noise"
        some = f"{word}-F1, more than noise: {', '.join(real)}{others}."
        said.append(some if real else all_noise)
    return said if content["pairs"] else []


def _better(pair: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    names = (pair["first"], pair["second"])
    better, worse = names if found["difference"] > 0 else names[::-1]
    return f"{better} over {worse} ({_signed(abs(found['difference']))})"


def _difference_notes(content: Mapping[str, Any]) -> list[str]:
    among, beside = len(content["pairs"]), len(content["against_svm"])
    families = [f"{among} pair{'s' if among > 1 else ''} of losses"] if among else []
    families += [f"{beside} with the SVM"] if beside else []
    notes = [
        f"{content['resamples']:,} resamples of the test documents, the same for all models; 95 % "
        f"intervals; p after Holm's correction for {' and '.join(families)}, each score by itself. "
        f"Noise: 0 lies within the interval, or p is not below {CONVINCING:.2f}."
    ]
    flags = [p[s]["seeds"] for p in (*content["pairs"], *content["against_svm"]) for s in SCORES]
    if all(flags):
        notes.append(
            "The variation of training seeds is in the intervals, as it was on validation with "
            "the seeds of --confirm."
        )
    else:
        which = "Where a search was not confirmed, they do" if any(flags) else "They do"
        notes.append(
            f"{which} not cover the variation of training seeds: each model is one training, and "
            "another seed may turn a difference round. --confirm K --seeds S adds that."
        )
    if content["without_predictions"]:
        names = ", ".join(content["without_predictions"])
        notes.append(f"Not compared, for want of kept test predictions: {names}.")
    return notes


def _searches(content: Mapping[str, Any]) -> Sheet:
    rows = tuple(
        (
            row["label"],
            row["search"],
            *(str(row["trials"]), str(row["epochs"]), duration(row["wall_s"])),
            row["status"].replace("_", " "),
        )
        for row in content["rows"]
    )
    notes = []
    if content["budgets_differ"]:
        notes.append("The searches did not have the same budget: a loss may be ahead by its own.")
    if len(content["objectives"]) > 1:
        notes.append(f"They were judged by different scores: {', '.join(content['objectives'])}.")
    return Sheet(
        title="searches",
        columns=("loss", "search", "trials", "epochs", "took", "ended"),
        rows=rows,
        notes=tuple(notes),
    )


def _cell(block: Mapping[str, Any] | None) -> str:
    if block is None:
        return _NONE
    return "/".join(f"{100 * block[score]:.2f}" for score in SCORES)


def _end(block: Mapping[str, Any] | None, place: int) -> str:
    if block is None:
        return _NONE
    return "/".join(f"{100 * block[score][place]:.2f}" for score in SCORES)


def _signed(points: float) -> str:
    return f"{100 * points:+.2f}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"
