"""What a reader must know before trusting the numbers: in words, from the record alone.

What one seed cannot tell apart is 0.4 points of micro-F1 and 1.5 of macro-F1 on Reuters' validation
documents (docs/DESIGN.md, section 5); a confirmed winner is judged by its own seeds instead.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from search.report_page.figures import share
from search.report_page.parts import Caution
from search.report_page.ranges import NEAR, at_bound, dimensions, range_words, shown_name
from search.results import SearchRecord
from search.rising import NOISE
from search.tables import cut_short, start_words
from search.words import value
from trainable.objectives import MICRO_F1, SCORE_KEYS, scores_of

MACRO_NOISE: Final = 0.015
"""Of any other score than micro-F1, which few labels or few documents decide."""
LARGE_GAP: Final = 0.02
"""Between validation and test: more than their documents' chance and the choosing explain."""
MANY_BROKEN: Final = 0.2
_FEW: Final = 8
_NAMED: Final = 8

Rule = Callable[[SearchRecord, Mapping[str, Any]], Iterator[Caution]]


def cautions(record: SearchRecord, summary: Mapping[str, Any]) -> tuple[Caution, ...]:
    """All that apply, the serious ones first."""
    found = [caution for rule in _RULES for caution in rule(record, summary)]
    return tuple(sorted(found, key=lambda caution: not caution.serious))


def noise_of(objective: str) -> float:
    """Differences of the objective below this are those of another seed.

    >>> noise_of("micro_f1"), noise_of("mean")
    (0.004, 0.015)
    """
    only_micro = all(SCORE_KEYS[name] == MICRO_F1 for name in scores_of(objective))
    return NOISE if only_micro else MACRO_NOISE


def _unfinished(record: SearchRecord, _: Mapping[str, Any]) -> Iterator[Caution]:
    if record.status == "running":
        yield Caution(
            title="The search is still running",
            text="All of this may change; write the report again to see how it stands then.",
            serious=False,
        )
    elif record.status in ("interrupted", "failed"):
        reason = f" ({record.reason})" if record.reason else ""
        yield Caution(
            title=f"The search {'was interrupted' if record.status == 'interrupted' else 'failed'}",
            text=f"It ended before its last trial{reason}; `resume` goes on with it.",
        )


def _noise(record: SearchRecord, summary: Mapping[str, Any]) -> Iterator[Caution]:
    """The winner against the runner-up, and against where the search began."""
    if record.best is None:
        return
    if summary["confirmation"] and summary["confirmation"]["winner"] is not None:
        yield from _confirmed_noise(record, summary["confirmation"])
        return
    close = _close_to_best(record)
    limit = noise_of(record.spec.config.objective)
    if close:
        named = ", ".join(map(str, close[:_NAMED])) + (" ..." if len(close) > _NAMED else "")
        yield Caution(
            title="The winner is within noise of the runner-up",
            text=f"{len(close)} other configuration{'s' if len(close) > 1 else ''} (trial {named}) "
            f"came within {100 * limit:.1f} points of the best, which another seed may turn round. "
            "`resume --confirm 2` trains the best again with other seeds.",
        )
    paper = record.paper
    if paper is not None and paper.number != record.best.number and paper.best_objective:
        gain = (record.best.best_objective or 0.0) - paper.best_objective
        if gain < limit:
            yield Caution(
                title="The gain is within noise",
                text=f"The best trial is {100 * gain:.2f} points above the {start_words(record)}: "
                f"less than the {100 * limit:.1f} that another seed explains.",
            )


def _tail_pays(record: SearchRecord, summary: Mapping[str, Any]) -> Iterator[Caution]:
    """Micro-F1 is decided by the frequent labels: it can rise while the rare ones are given up."""
    gain = summary["gain_over_paper_values"]
    if gain and gain["micro_f1"] > 0 and gain["macro_f1"] < -MACRO_NOISE / 2:
        yield Caution(
            title="Rare labels pay for the gain",
            text=f"Against the {start_words(record)} micro-F1 changes by "
            f"{100 * gain['micro_f1']:+.2f} points and macro-F1, in which every label counts the "
            f"same, by {100 * gain['macro_f1']:+.2f}. `--objective micro_f1+macro_f1` "
            "asks for both.",
        )


def _confirmed_noise(record: SearchRecord, confirmed: Mapping[str, Any]) -> Iterator[Caution]:
    for key, words in (
        ("against_runner_up", "the runner-up"),
        ("against_paper_values", f"the {start_words(record)}"),
    ):
        compared = confirmed[key]
        if compared and compared["within_noise"]:
            yield Caution(
                title=f"The winner is within noise of {words}",
                text=f"Over {compared['n']} seeds trial {confirmed['winner']} is "
                f"{100 * compared['mean']:+.2f} points from trial {compared['trial']}; the "
                f"{share(compared['level'])} interval of the paired difference, "
                f"{100 * compared['low']:+.2f} to {100 * compared['high']:+.2f}, holds 0.",
            )


def _close_to_best(record: SearchRecord) -> list[int]:
    """Numbers of the trials within noise of the best, whose settings differ; the best first."""
    best = record.best
    assert best is not None
    limit = (best.best_objective or 0.0) - noise_of(record.spec.config.objective)
    close = [
        trial
        for trial in record.trials
        if trial.best_epoch
        and trial.number != best.number
        and trial.params != best.params
        and (trial.best_objective or 0.0) > limit
    ]
    return [t.number for t in sorted(close, key=lambda t: -(t.best_objective or 0.0))]


def _bounds(record: SearchRecord, _: Mapping[str, Any]) -> Iterator[Caution]:
    best = record.best
    for name, dimension in dimensions(record).items() if best else ():
        assert best is not None
        end = at_bound(dimension, best.params.get(name))
        if end:
            of_paper = at_bound(dimension, dimension.paper) == end
            yield Caution(
                title=f"The best {shown_name(name)} lies at the {end} end of its range",
                text=f"{value(best.params[name])} is within {share(NEAR)} of the end of "
                f"{range_words(dimension)}: better values may lie beyond. `--space FILE` widens it."
                + (" The value that the search began with lies there, too." if of_paper else ""),
            )


def _trials(record: SearchRecord, summary: Mapping[str, Any]) -> Iterator[Caution]:
    """Too few, broken, or stopped too early."""
    scored = [trial for trial in record.trials if trial.best_epoch]
    if record.status != "running" and len(scored) < _FEW:
        yield Caution(
            title="Few trials",
            text=f"{len(scored)} trials with a score are hardly more than a look: the sampler "
            "begins to learn after about ten. `resume --add-trials N` extends the search.",
        )
    ended = [trial for trial in record.trials if trial.ended is not None]
    broken = [t for t in ended if t.status in ("failed", "out_of_memory", "diverged")]
    if ended and len(broken) / len(ended) > MANY_BROKEN:
        yield Caution(
            title="Many trials broke down",
            text=f"{len(broken)} of {len(ended)} ended without a fair score; see Failures.",
        )
    if summary["gain_over_paper_values"] and (cut := cut_short(record)):
        yield Caution(
            title="The gain is partly that of longer training",
            text=f"It is measured against {cut}. `resume --confirm 1` trains both to the end, with "
            "seeds that the search has not used.",
        )
    close = summary["catching_up_at_stop"]
    if close:
        named = ", ".join(map(str, close[:_NAMED])) + (" ..." if len(close) > _NAMED else "")
        yield Caution(
            title="Trials were stopped while they were catching up",
            text=f"Trial {named}: at their pace they would have drawn level with the best within "
            "two epochs. A longer `--grace-period` would tell.",
            serious=False,
        )


def _test(record: SearchRecord, summary: Mapping[str, Any]) -> Iterator[Caution]:
    """What the test scores are worth."""
    test, on_val = summary["test"], summary["validation"]
    if test is None:
        return
    gap = (on_val.get("micro_f1") or 0.0) - test["micro_f1"]
    if gap > LARGE_GAP:
        yield Caution(
            title="Test is below validation",
            text=f"Micro-F1 is {100 * test['micro_f1']:.2f} % on the test documents and "
            f"{100 * on_val['micro_f1']:.2f} % on those that chose trial, epoch and threshold "
            f"({100 * gap:.1f} points): believe the former.",
        )
    if record.test_evaluations > 1:
        yield Caution(
            title=f"The test set was opened {record.test_evaluations} times",
            text="Each extension of the search that found another winner opened it again: the "
            "last score is no longer of documents that nobody has looked at.",
        )


def _changes(_: SearchRecord, summary: Mapping[str, Any]) -> Iterator[Caution]:
    for change in summary["accepted_changes"]:
        named = ", ".join(str(row["what"]) for row in change["changes"][:_NAMED])
        yield Caution(
            title="Run by more than one version",
            text=f"From attempt {change['attempt']} on other than before: {named}.",
        )


def _dataset(record: SearchRecord, _: Mapping[str, Any]) -> Iterator[Caution]:
    labels = record.dataset.get("labels") or []
    for split, words in (("val", "validation"), ("test", "test")):
        without = [row for row in labels if not row.get(split, 1)]
        if without:
            yield Caution(
                title=f"{len(without)} of {len(labels)} labels have no {words} document",
                text="Their F1 counts as 0, as in the paper, and macro-F1 cannot reach 100 %.",
                serious=False,
            )
    copies = record.dataset.get("duplicates") or {}
    for key, words in (
        ("val_in_train", "validation documents are in the training set, too"),
        ("test_in_train", "test documents are in the training set, too"),
        ("test_in_val", "test documents are in the validation set, too"),
    ):
        if copies.get(key):
            yield Caution(
                title=f"{copies[key]} {words}",
                text="The same text, word for word: their scores are flattered.",
                serious=False,
            )
    cut = _share_cut(record)
    if cut > 0.1:
        yield Caution(
            title=f"{share(cut)} of the training documents are cut",
            text=f"They are longer than {record.spec.config.max_length} word pieces.",
            serious=False,
        )


def _share_cut(record: SearchRecord) -> float:
    train = (record.dataset.get("splits") or {}).get("train") or {}
    return float((train.get("word_pieces") or {}).get("share_cut") or 0.0)


_RULES: Final[tuple[Rule, ...]] = (
    _unfinished,
    _noise,
    _tail_pays,
    _bounds,
    _test,
    _changes,
    _trials,
    _dataset,
)
