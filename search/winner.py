"""The chosen trial, and the one look at the test set (DESIGN D8). Needs no Ray."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.encoded import EncodedDataset

TEST_REPORT_FILE: Final = "test_report.json"
WEIGHTS_FOLDER: Final = "weights"
"""In the folder of a search: the weights of the best epoch so far."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Winner:
    """The best epoch of the best trial."""

    number: int
    params: Mapping[str, Any]
    objective: float
    epoch: int
    threshold: float


def choose_winner(events: Iterable[Mapping[str, Any]]) -> Winner | None:
    """The trial with the highest objective, however it ended; ties: the lower number.

    Returns:
        None if no trial of the journal finished an epoch.
    """
    params: dict[int, Mapping[str, Any]] = {}
    last: dict[int, Mapping[str, Any]] = {}
    for event in events:
        match event["event"]:
            case "trial_started":
                params[event["trial"]] = event["params"]
            case "epoch":
                last[event["trial"]] = event["metrics"]
            case "trial_restarted":
                last.pop(event["trial"], None)
    scored = {number: row for number, row in last.items() if row.get("best/epoch")}
    if not scored:
        return None
    number = max(scored, key=lambda n: (scored[n][BEST_OBJECTIVE], -n))
    row = scored[number]
    return Winner(
        number=number,
        params=params[number],
        objective=row[BEST_OBJECTIVE],
        epoch=int(row["best/epoch"]),
        threshold=row["best/threshold"],
    )


def evaluate_on_test(
    config: Mapping[str, Any], data: EncodedDataset, weights: str, threshold: float
) -> dict[str, Any]:
    """Score the test split with kept weights.

    Args:
        config: `TrialConfig.to_mapping()` of the winner.
        data: As in the search.
        weights: File of the winner's best epoch.
        threshold: Chosen on validation at that epoch.

    Returns:
        `trainable.evaluation.evaluation_report`.
    """
    from safetensors.torch import load_file

    from trainable.evaluation import evaluation_report
    from trainable.loop import TrainingSession

    session = TrainingSession(TrialConfig.from_mapping(config), data)
    session.model.load_state_dict(load_file(Path(weights)))
    return evaluation_report(session.probabilities("test"), threshold=threshold, data=data)
