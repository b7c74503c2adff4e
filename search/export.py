"""From a search folder to best.yaml: everything that is needed to train the chosen model again."""

import errno
import shlex
from pathlib import Path
from typing import Any, Final

from search.provenance import origins
from search.results import SearchRecord, TrialRecord
from trainable.best import BestConfig
from trainable.errors import UsageError, UserError

BEST_NAME: Final = "best.yaml"


def best_config(record: SearchRecord, number: int | None = None) -> BestConfig:
    """The configuration of the best trial, or of trial `number`, at its best epoch.

    The best one of a confirmed search has the seed of the run that confirmed it.

    Raises:
        UsageError: no trial has that number, or it has not finished an epoch.
        UserError: no trial has finished an epoch, or the description of the data is gone.
    """
    best = record.best if number is None else _trial(record, number)
    if best is None or best.best_epoch is None or best.best_threshold is None:
        raise UserError(
            f"search '{record.spec.name}' has no finished epoch yet: there is nothing to export"
        )
    if "fingerprint" not in record.dataset:
        raise UserError(f"{record.folder}: dataset.json is missing or damaged: cannot export")
    return BestConfig(
        config=record.spec.trial_config(best.params, best.seed),
        best_epoch=best.best_epoch,
        threshold=best.best_threshold,
        validation={k: v for k, v in best.best_metrics.items() if k.startswith("val/")},
        search=_origin(record, best),
        data_fingerprint=record.dataset["fingerprint"],
        versions=_versions(record.folder, best.attempt),
    )


def write_best(record: SearchRecord, path: Path, number: int | None = None) -> BestConfig:
    """Write the best configuration, or that of trial `number`, to `path`.

    Raises:
        UsageError: no trial has that number, or it has not finished an epoch.
        UserError: there is nothing to export, or `path` cannot be written or is a folder.
    """
    best = best_config(record, number)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file")
        best.save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return best


def _trial(record: SearchRecord, number: int) -> TrialRecord:
    for trial in record.trials:
        if trial.number == number and trial.best_epoch:
            return trial
    scored = ", ".join(str(trial.number) for trial in record.trials if trial.best_epoch)
    raise UsageError(
        f"--trial {number}: search '{record.spec.name}' has no trial of that number with a "
        f"finished epoch; choose one of {scored or 'none yet'}"
    )


def retrain_command(path: Path) -> str:
    """What trains the exported configuration again."""
    return f"python -m trainable {shlex.quote(str(path))} --out MODEL"


def _origin(record: SearchRecord, best: TrialRecord) -> dict[str, Any]:
    found = record.confirmation
    confirmed = (
        {}
        if found is None or best.seed is None
        else {
            "confirmed_with_seeds": list(found.scores(best.number)),
            "mean_objective": found.mean(best.number),
            "sd_objective": found.spread(best.number),
        }
    )
    return {
        "name": record.spec.name,
        "trial": best.number,
        "trials": len(record.trials),
        "status": record.status,
        "fingerprint": record.spec.fingerprint,
        **confirmed,
    }


def _versions(folder: Path, attempt: int) -> dict[str, Any]:
    """Package versions by name, Python's and the code's commit among them, of that attempt."""
    told = [origin for origin in origins(folder) if origin["attempt"] <= attempt]
    versions = told[-1] if told else {}
    named = {"python": versions.get("python"), "git_commit": versions.get("git_commit")}
    return {
        **{name: value for name, value in named.items() if value},
        **versions.get("packages", {}),
    }
