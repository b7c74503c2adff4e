"""A hand-written search folder with any trials in any space: for tests of what is made of them."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.search_folder import START, epoch_metrics, write_search_folder

RATE = {"name": "learning_rate", "low": 1e-5, "high": 1e-3, "log": True, "paper": 1e-4}
GAMMA = {"name": "gamma", "low": 0.0, "high": 4.0, "paper": 2.0}


def trial(scores, status="completed", reason="", **params) -> dict[str, Any]:
    """One trial: its objective by epoch; `status=None`: it has no end."""
    return {"scores": scores, "status": status, "reason": reason, "params": params}


def write_trials(
    folder: Path,
    trials: list[dict[str, Any]],
    *,
    dimensions=(RATE, GAMMA),
    ended="completed",
    **spec,
) -> Path:
    """A search whose epochs end ten seconds apart, one trial after the other."""
    write_search_folder(folder, whole=False)
    path = folder / "spec.yaml"
    values = yaml.safe_load(path.read_text())
    values["space"]["dimensions"] = list(dimensions)
    config = spec.pop("config", {})
    values |= {"trials": max(1, len(trials)), **spec}
    values["config"] |= config
    path.write_text(yaml.safe_dump(values))
    rows: list[dict[str, Any]] = [{"event": "search_started", "attempt": 1}]
    for number, told in enumerate(trials):
        rows += _events(number, told)
    if ended:
        rows.append({"event": "search_ended", "status": ended, "reason": ""})
    timed = [{**row, "time": START + 10.0 * index} for index, row in enumerate(rows)]
    (folder / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in timed))
    return folder


def _events(number: int, told: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [{"event": "trial_started", "trial": number, "params": told["params"]}]
    best, best_epoch = -1.0, 0
    for epoch, score in enumerate(told["scores"], 1):
        if score > best:
            best, best_epoch = score, epoch
        metrics = {
            **epoch_metrics(0, 1),
            **{"val/objective": score, "val/micro_f1": score, "val/macro_f1": score - 0.2},
            **{"best/objective": best, "best/micro_f1": best, "best/macro_f1": best - 0.2},
            **{"best/epoch": best_epoch, "epoch": epoch},
        }
        rows.append({"event": "epoch", "trial": number, "epoch": epoch, "metrics": metrics})
    if told["status"]:
        end = {"status": told["status"], "reason": told["reason"]}
        rows.append({"event": "trial_ended", "trial": number, **end})
    return rows
