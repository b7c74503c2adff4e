"""A hand-written search folder, as a search of six trials leaves it: for tests that only read.

Nothing is trained: the numbers are made up, and the files are written as the contract of the
folder has them, not by the code that writes them in production.
"""

import json
import math
from pathlib import Path
from typing import Any

import yaml

EPOCHS = 4
START = 1_700_000_000.0
LABELS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
_GROUPS = ("head", "head", "medium", "medium", "tail", "tail")

# trial -> (learning rate, gamma, epochs run, end status or None)
TRIALS: dict[int, tuple[float, float, int, str | None]] = {
    0: (1e-4, 2.0, 4, "completed"),
    1: (3e-5, 1.0, 1, "stopped"),
    2: (2e-4, 2.5, 4, "completed"),
    3: (9e-4, 0.5, 1, "diverged"),
    4: (5e-4, 3.0, 1, "out_of_memory"),
    5: (8e-5, 1.5, 2, None),  # interrupted
}
BEST_TRIAL = 2
FIRST_PART = 9  # events: trial 0 is over, trial 1 has its first epoch


def write_search_folder(folder: Path, *, dataset: str = "demo", whole: bool = True) -> Path:
    """Write a search into `folder`; `whole=False`: only the first part of the journal."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"format": "longtail-search/spec", "version": 2, **_spec(folder, dataset)}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    _write(folder / "dataset.json", _dataset(dataset))
    _write(
        folder / "versions.json",
        {
            "python": "3.11.9",
            "packages": {"torch": "2.13.0"},
            "git_commit": "0123456789abcdef",
            "cpus": 2,
        },
    )
    append_events(folder, events() if whole else events()[:FIRST_PART])
    if whole:
        _write(folder / "test_report.json", test_report())
        _write(folder / "summary.json", {"best_trial": BEST_TRIAL, "objective": 0.85})
        (folder / "best.yaml").write_text("format: longtail-search/best\nversion: 1\n")
    return folder


def append_events(folder: Path, rows: list[dict[str, Any]]) -> None:
    with (folder / "journal.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def events() -> list[dict[str, Any]]:
    """The whole journal; trial 5 was running when the search was interrupted."""
    rows: list[dict[str, Any]] = [{"event": "search_started", "attempt": 1}]
    for number, (rate, gamma, epochs, status) in TRIALS.items():
        params = {"learning_rate": rate, "gamma": gamma, "mu": 0.9}
        rows.append({"event": "trial_started", "trial": number, "params": params})
        for epoch in range(1, epochs + 1):
            metrics = epoch_metrics(number, epoch)
            rows.append({"event": "epoch", "trial": number, "epoch": epoch, "metrics": metrics})
        if status is not None:
            row = {"event": "trial_ended", "trial": number, "status": status, "reason": ""}
            rows.append({**row, "reason": "loss is not finite"} if status == "diverged" else row)
    rows.append(
        {"event": "test_evaluated", "trial": BEST_TRIAL, "micro_f1": 0.83, "macro_f1": 0.61}
    )
    rows.append({"event": "search_ended", "status": "interrupted", "reason": "Ctrl-C"})
    return [{**row, "time": START + 10.0 * index} for index, row in enumerate(rows)]


def objective(number: int, epoch: int) -> float:
    """Validation micro-F1 of one epoch: rising, trial 2 the highest."""
    return 0.5 + 0.06 * epoch + 0.02 * (number == BEST_TRIAL) - 0.01 * number * (epoch == 1)


def epoch_metrics(number: int, epoch: int) -> dict[str, float]:
    value = objective(number, epoch)
    return {
        "epoch": epoch,
        "train/loss": 0.7 / epoch,
        "train/learning_rate": TRIALS[number][0],
        "val/loss": 0.5 / epoch,
        "val/objective": value,
        "val/micro_f1": value,
        "val/macro_f1": value - 0.2,
        "val/micro_f1_at_0.5": value - 0.05,
        "val/macro_f1_at_0.5": value - 0.3,
        "val/threshold": 0.4,
        **{
            f"val/{group}/{average}_f1": value - 0.1 * place
            for place, group in enumerate(("head", "medium", "tail"))
            for average in ("micro", "macro")
        },
        "best/objective": value,
        "best/micro_f1": value,
        "best/macro_f1": value - 0.2,
        "best/epoch": epoch,
        "best/threshold": 0.4,
        "time/epoch_s": 9.5,
        "time/train_docs_per_s": 120.0,
    }


def test_report() -> dict[str, Any]:
    """As `trainable.evaluation.evaluation_report` lays it out, of the best epoch of all."""
    thresholds = [round(0.01 * k, 2) for k in range(1, 100)]
    return {
        "trial": BEST_TRIAL,
        "epoch": EPOCHS,
        "split": "test",
        "threshold": 0.4,
        "num_docs": 300,
        **_scores(0.83),
        "micro_f1_at_0.5": 0.8,
        "macro_f1_at_0.5": 0.55,
        "head": _scores(0.9),
        "medium": _scores(0.75),
        "tail": _scores(0.4),
        "validation": {"multi_label": {"num_docs": 30, **_scores(0.7)}},
        "single_label": {"num_docs": 250, **_scores(0.86)},
        "multi_label": {"num_docs": 50, **_scores(0.7)},
        "per_label": [
            {
                "label": label,
                "group": group,
                "train_count": 400 // 3**index,
                "support": 100 // 2**index,
                "precision": 0.9,
                "recall": 0.8,
                "f1": 0.847,
            }
            for index, (label, group) in enumerate(zip(LABELS, _GROUPS, strict=True))
        ],
        "threshold_curve": {
            "threshold": thresholds,
            "micro_f1": [0.83 * math.exp(-((t - 0.4) ** 2) / 0.18) for t in thresholds],
            "macro_f1": [0.61 * math.exp(-((t - 0.33) ** 2) / 0.1) for t in thresholds],
        },
    }


test_report.__test__ = False  # type: ignore[attr-defined]


def _scores(micro: float) -> dict[str, float]:
    return {"micro_f1": micro, "macro_f1": micro - 0.22}


def _spec(folder: Path, dataset: str) -> dict[str, Any]:
    return {
        "name": folder.name,
        "runs_dir": str(folder.parent),
        "preset": "smoke",
        "config": {
            "dataset": dataset,
            "encoder": "minilm",
            "loss": "db",
            "gamma": 2.0,
            "mu": 0.9,
            "learning_rate": 1e-4,
            "epochs": EPOCHS,
        },
        "space": {
            "loss": "db",
            "dimensions": [
                {"name": "learning_rate", "low": 1e-5, "high": 1e-3, "log": True, "paper": 1e-4},
                {"name": "gamma", "low": 0.5, "high": 4.0, "paper": 2.0},
                {"name": "mu", "low": 0.05, "high": 1.0, "paper": 0.9},
            ],
        },
        "trials": len(TRIALS),
        "time_budget_s": None,
        "grace_period": 1,
        "reduction_factor": 3,
        "cpus_per_trial": 1.0,
        "gpus_per_trial": 0.0,
        "max_concurrent": 2,
        "seed": 0,
        "address": None,
        "tracking_uri": None,
    }


def _dataset(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "source": "synthetic",
        "fingerprint": "ab" * 32,
        "num_labels": len(LABELS),
        "train": {"num_docs": 800, "labels_per_doc": 1.3},
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values))
