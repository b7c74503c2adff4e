"""The text at the top of a search's MLflow page, in Markdown: outcome, best, commands."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

from search.confirmation import Confirmation, ConfirmRun
from search.tracking.confirm_messages import ConfirmTranslator
from search.tracking.links import RUN_PAGE, VIEW_PAGE
from search.words import in_percent
from trainable.objectives import objective_words

_GROUPS = ("head", "medium", "tail")
_OUTCOMES = {
    "running": "The search is running.",
    "completed": "The search is complete.",
    "time_budget": "The search ended at its time budget.",
    "compute_budget": "The search ended at its compute budget.",
    "disk_budget": "The search ended at its disk budget.",
    "plateau": "The search ended when nothing better was found any more.",
    "interrupted": "The search was interrupted; it can be resumed.",
    "failed": "The search failed.",
}
_COMMANDS: Final = (
    ("show", "how it stands"),
    ("report", "write report.html anew"),
    ("export", "the best configuration, to retrain"),
    ("resume", "go on, or add trials"),
)
_NOTES: Final = """### The numbers

Scores lie between 0 and 1; in the tables of this text they are per cent. `best/...` is the epoch
that counts, `val/...` each epoch; `head`, `medium` and `tail` are labels by their number of
training documents. Units stand in the names: `time/epoch_s` seconds, `system/memory_mib` MiB,
`system/cpu_percent` per cent of one core. More: `docs/tracking.md`, `docs/results.md`."""


def describe(
    name: str,
    spec: Mapping[str, Any],
    dataset: Mapping[str, Any],
    translator: ConfirmTranslator,
    report: Mapping[str, Any],
) -> str:
    """The description of one search as far as it has come."""
    config = spec["config"]
    data = dataset.get("name") or config["dataset"]
    parts = [
        _links(report),  # MLflow folds, and covers, what comes after the first lines
        f"Loss **{spec['space']['loss']}** on **{data}** with encoder {config['encoder']}: "
        f"{_trial_counts(translator)}. {_outcome(translator)}",
        _best(translator, config.get("objective", "micro_f1")),
        _test(report),
        _commands(name),
        _NOTES,
    ]
    return "\n\n".join(part for part in parts if part)


def _links(report: Mapping[str, Any]) -> str:
    pages = [
        ("trials, best first", VIEW_PAGE),
        ("charts", f"{VIEW_PAGE}&compareRunsMode=CHART"),
        ("report.html", f"{RUN_PAGE}/artifacts/report.html"),
        ("best.yaml", f"{RUN_PAGE}/artifacts/best.yaml"),
        *([("every label", f"{RUN_PAGE}/artifacts/per_label.csv")] if report else []),
    ]
    return " · ".join(f"[{text}]({address})" for text, address in pages)


def _commands(name: str) -> str:
    quoted = shlex.quote(name)
    lines = [
        f"python -m search {verb + ' ' + quoted:<{len(quoted) + 8}}# {does}"
        for verb, does in _COMMANDS
    ]
    return "### Commands\n\n```\n" + "\n".join(lines) + "\n```"


def _outcome(translator: ConfirmTranslator) -> str:
    text = _OUTCOMES.get(translator.status, f"The search ended: {translator.status}.")
    return f"{text} ({translator.reason})" if translator.reason else text


def _trial_counts(translator: ConfirmTranslator) -> str:
    statuses = [trial.status for trial in translator.trials.values()]
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(statuses)} trials" + (f" ({listed})" if listed else "")


def _best(translator: ConfirmTranslator, objective_name: str) -> str:
    confirmation = translator.confirmation
    if confirmation is not None and confirmation.winner is not None:
        return _confirmed(translator, confirmation, confirmation.winner, objective_name)
    number = translator.leader
    trial = None if number is None else translator.trials[number]
    if trial is None or trial.best is None:
        return ""
    objective, epoch, threshold = trial.best
    return (
        f"### Best configuration: trial {number}\n\n"
        f"Validation {objective_words(objective_name)} **{objective:.4f}** "
        f"after epoch {epoch:.0f} at threshold {threshold:.2f}.\n\n"
        f"{_settings(trial.params)}"
    )


def _confirmed(
    translator: ConfirmTranslator, found: Confirmation, run: ConfirmRun, objective_name: str
) -> str:
    number, seeds = run.trial, ", ".join(map(str, found.compared))
    rows = [
        f"| {trial} | {in_percent(found.mean(trial))} | {in_percent(found.spread(trial))} |"
        for trial in found.trials
    ]
    means = "| trial | mean | sd |\n| --- | ---: | ---: |\n" + "\n".join(rows)
    return (
        f"### Confirmed configuration: trial {number}\n\n"
        f"Mean {objective_words(objective_name)} on validation with the seeds {seeds}: "
        f"**{found.mean(number):.4f}**. The model is that of seed {run.seed}, after epoch "
        f"{run.best_epoch}.\n\n{means}\n\n"
        f"{_settings(translator.trials[number].params)}"
    )


def _settings(params: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {key} | {_value(value)} |" for key, value in params.items())
    return f"| setting | value |\n| --- | --- |\n{rows}"


def _test(report: Mapping[str, Any]) -> str:
    if "micro_f1" not in report:
        return ""
    parts = {"all labels": report, **{group: report.get(group, {}) for group in _GROUPS}}
    rows = "\n".join(
        f"| {name} | {100 * part['micro_f1']:.2f} | {100 * part['macro_f1']:.2f} |"
        for name, part in parts.items()
        if "micro_f1" in part
    )
    return (
        f"### Test set\n\n{report.get('num_docs', '?')} documents, scored once.\n\n"
        f"| labels | micro-F1 | macro-F1 |\n| --- | ---: | ---: |\n{rows}"
    )


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
