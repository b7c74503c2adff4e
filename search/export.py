"""From a search folder to best.yaml: everything that is needed to train the chosen model again."""

import errno
import shlex
from pathlib import Path
from typing import Any, Final

from search.provenance import origins
from search.results import SearchRecord
from trainable.best import BestConfig
from trainable.errors import UserError

BEST_NAME: Final = "best.yaml"


def best_config(record: SearchRecord) -> BestConfig:
    """The configuration of the best trial, at its best epoch.

    Raises:
        UserError: no trial has finished an epoch, or the description of the data is gone.
    """
    best = record.best
    if best is None or best.best_epoch is None or best.best_threshold is None:
        raise UserError(
            f"search '{record.spec.name}' has no finished epoch yet: there is nothing to export"
        )
    if "fingerprint" not in record.dataset:
        raise UserError(f"{record.folder}: dataset.json is missing or damaged: cannot export")
    return BestConfig(
        config=record.spec.trial_config(best.params),
        best_epoch=best.best_epoch,
        threshold=best.best_threshold,
        validation={k: v for k, v in best.best_metrics.items() if k.startswith("val/")},
        search=_origin(record, best.number),
        data_fingerprint=record.dataset["fingerprint"],
        versions=_versions(record.folder, best.attempt),
    )


def write_best(record: SearchRecord, path: Path) -> BestConfig:
    """Write the best configuration to `path`.

    Raises:
        UserError: there is nothing to export, or `path` cannot be written or is a folder.
    """
    best = best_config(record)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file")
        best.save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return best


def retrain_command(path: Path) -> str:
    """What trains the exported configuration again."""
    return f"python -m trainable {shlex.quote(str(path))} --out MODEL"


def _origin(record: SearchRecord, number: int) -> dict[str, Any]:
    return {
        "name": record.spec.name,
        "trial": number,
        "trials": len(record.trials),
        "status": record.status,
        "fingerprint": record.spec.fingerprint,
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
