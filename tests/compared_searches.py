"""Hand-written search folders of several losses on the same data, with predictions on test."""

import json
import random
from pathlib import Path

import yaml

from tests.search_folder import LABELS, append_events, write_search_folder
from trainable.config import LOSS_HYPERPARAMETERS
from trainable.predictions import PREDICTIONS_FILE, LabelSets, Predictions

NUM_DOCS = 300
GROUPS = ("head", "head", "medium", "medium", "tail", "tail")


def predictions(miss: float, *, seed: int = 0, num_docs: int = NUM_DOCS) -> Predictions:
    """A model that misses each label of a document with the probability `miss`."""
    truth = random.Random(42)
    true = [sorted(truth.sample(range(len(LABELS)), truth.choice((1, 1, 2)))) for _ in range(300)]
    luck = random.Random(seed)
    found = [[label for label in row if luck.random() >= miss] for row in true]
    return Predictions(
        documents=tuple(f"test/{n}" for n in range(num_docs)),
        label_names=LABELS,
        groups=GROUPS,
        threshold=0.4,
        predicted=LabelSets.of(found[:num_docs]),
        true=LabelSets.of(true[:num_docs]),
    )


def write_done(folder: Path, loss: str, *, miss: float | None = 0.2, **spec) -> Path:
    """A search of that loss that came to its end; `miss` None: no predictions were kept."""
    write_search_folder(folder)
    append_events(folder, [{"event": "search_started", "attempt": 2, "time": 2e9}])
    append_events(folder, [{"event": "search_ended", "status": "completed", "time": 2e9 + 60}])
    path = folder / "spec.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["loss"] = content["space"]["loss"] = loss
    for name in {"gamma", "mu"} - set(LOSS_HYPERPARAMETERS[loss]):
        del content["config"][name]
        dimensions = content["space"]["dimensions"]
        content["space"]["dimensions"] = [each for each in dimensions if each["name"] != name]
    path.write_text(yaml.safe_dump({**content, **spec}, sort_keys=False))
    known = {"learning_rate", *LOSS_HYPERPARAMETERS[loss]}
    journal = folder / "journal.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    for row in rows:
        if "params" in row:
            row["params"] = {k: v for k, v in row["params"].items() if k in known}
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if miss is not None:
        predictions(miss, seed=len(loss)).save(folder / PREDICTIONS_FILE)
    return folder
