"""--warm-start NAME: what earlier searches on the same data found, for the sampler to know.

Their trials are not trials of this search: they have no number, cost nothing, fill no rung and
stand in no table. TPE sees them beside the study's own (`search.tpe`), oldest of all. What carries
over is the gain over the paper's values: scores are shifted so that the trials with these agree in
both searches, since another loss, encoder or head starts from another score. Settings are those
that both search, of the loss alone where the encoder or what is tuned differs (as for
`--start-from`). A trial with a value outside this search's ranges is left out: moved to the end of
a range it would praise that. Where the loss is searched, the paper's values are those of the
trial's own loss, and a loss that is not among the choices is a value outside the range.

The trials are copied into the folder of the search: it resumes without the earlier ones.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.by_loss import paper_trials
from search.files import read_json, write_json
from search.first_points import shared_settings, with_loss
from search.preflight import find_search
from search.results import SearchRecord, TrialRecord, load_search
from search.spec import SearchSpec
from spaces import LOSS, Space
from trainable.config import BEST_OBJECTIVE
from trainable.errors import UsageError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

WARM_START_NAME: Final = "warm_start.json"
_TOLD: Final = ("completed", "stopped")

Curve = Mapping[int, float]
"""The running best by epoch."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrial:
    """A trial of another search."""

    params: Mapping[str, Any]
    """Those that this search samples too."""
    completed: bool
    """To its last epoch; else it was stopped by ASHA."""
    curve: Curve
    paper_curve: Curve
    """Of the paper's values of its loss in that search."""


def earlier_trials(
    record: SearchRecord, spec: SearchSpec, fingerprint: str
) -> tuple[EarlierTrial, ...]:
    """What a search has to tell to another one.

    Args:
        record: Of the earlier search.
        spec: Of this one.
        fingerprint: Of this one's data.

    Raises:
        UsageError: it is of other data or of another objective, or has nothing to tell.
    """
    name = record.spec.name
    if record.dataset.get("fingerprint") != fingerprint:
        raise UsageError(
            f"--warm-start {name}: it is of other data, whose scores do not compare; name a search "
            "on the same data, or use --start-from"
        )
    ours, theirs = spec.config.objective, record.spec.config.objective
    if ours != theirs:
        raise UsageError(
            f"--warm-start {name}: it judges by {theirs} and this search by {ours}; say "
            f"--objective {theirs}, or use --start-from"
        )
    shared = shared_settings(record.spec, spec)
    dimensions = {dimension.name: dimension for dimension in spec.space.dimensions}
    papers = {loss: _curve(trial) for loss, trial in paper_trials(record).items()}
    found = []
    for trial in record.trials:
        told = with_loss(trial.params, record.spec)
        params = {setting: told[setting] for setting in shared if setting in told}
        inside = all(dimensions[setting].contains(value) for setting, value in params.items())
        if trial.status in _TOLD and trial.best_epoch and params and inside:
            found.append(
                EarlierTrial(
                    params=params,
                    completed=trial.status == "completed",
                    curve=_curve(trial),
                    paper_curve=papers.get(told[LOSS], {}),
                )
            )
    if not shared or not found:
        raise UsageError(
            f"--warm-start {name}: it has no finished trial with settings that this search "
            "samples; name another search"
        )
    return tuple(found)


def gather(spec: SearchSpec, fingerprint: str) -> tuple[EarlierTrial, ...]:
    """What all searches that `spec` names have to tell.

    Raises:
        UsageError: see `earlier_trials`; or there is no such search.
    """
    folders = [find_search(name, Path(spec.runs_dir)) for name in spec.warm_start]
    told = (earlier_trials(load_search(folder), spec, fingerprint) for folder in folders)
    return tuple(trial for trials in told for trial in trials)


def write_warm_start(folder: Path, trials: Sequence[EarlierTrial]) -> None:
    """Copy the trials into the folder of the search that they inform."""
    rows = [dataclasses.asdict(trial) for trial in trials]
    write_json(folder / WARM_START_NAME, {"trials": rows})


def read_warm_start(folder: Path) -> tuple[EarlierTrial, ...]:
    """What `write_warm_start` wrote; nothing where there is no such file.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        return tuple(
            EarlierTrial(
                params=row["params"],
                completed=bool(row["completed"]),
                curve=_epochs(row["curve"]),
                paper_curve=_epochs(row["paper_curve"]),
            )
            for row in (read_json(folder / WARM_START_NAME) or {"trials": []})["trials"]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(
            f"{folder / WARM_START_NAME}: is damaged: restore it, or start a new search"
        ) from None


def as_optuna(
    trials: Sequence[EarlierTrial], space: Space, paper_curves: Mapping[str, Curve]
) -> list["FrozenTrial"]:
    """The trials as Optuna knows them, on the scale of this search.

    Args:
        trials: Of earlier searches.
        space: Of this one.
        paper_curves: Of this one's trials with the paper's values, by loss, once they are over.
    """
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sampled = study.ask()
    for dimension in space.dimensions:  # of all losses
        dimension.suggest(sampled)
    distributions = sampled.distributions
    found = []
    for number, trial in enumerate(trials):
        loss = trial.params.get(LOSS, space.losses[0])
        shift = _shift(paper_curves.get(loss, {}), trial.paper_curve)
        curve = {epoch: value + shift for epoch, value in trial.curve.items()}
        states = optuna.trial.TrialState
        frozen = optuna.trial.create_trial(
            state=states.COMPLETE if trial.completed else states.PRUNED,
            params=dict(trial.params),
            distributions={name: distributions[name] for name in trial.params},
            intermediate_values=curve,
            value=curve[max(curve)] if trial.completed else None,
        )
        frozen.number = number - len(trials)  # older than trial 0
        found.append(frozen)
    return found


def _shift(ours: Curve, theirs: Curve) -> float:
    """What lies between the paper's values in both searches, at the last epoch that both have."""
    common = ours.keys() & theirs.keys()
    return ours[max(common)] - theirs[max(common)] if common else 0.0


def _curve(trial: TrialRecord) -> dict[int, float]:
    return {int(row["epoch"]): float(row[BEST_OBJECTIVE]) for row in trial.epochs}


def _epochs(row: Mapping[str, float]) -> dict[int, float]:
    """JSON has text for keys."""
    return {int(epoch): float(value) for epoch, value in row.items()}
