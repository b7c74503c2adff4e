"""Trains the best configurations and the paper's values again, with other seeds, on Ray Tune.

A second fit in the search's Ray instance: without ASHA, since every run counts to its last epoch,
and without the study, which must not learn from them and whose numbers stay Optuna's. The rules of
the choice are in `search.confirmation`, the events in `search.journal`.
"""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from search.confirm_folder import ConfirmFolder
from search.confirmation import Confirmation, read_confirmation, seeds_to_confirm
from search.events import EventLog
from search.fitting import Workshop
from search.journal import JOURNAL_FILE, read_journal
from search.spec import SearchSpec
from search.winner import candidates

_SUFFIX: Final = "-confirm"


def part_of_trials(spec: SearchSpec, trials: int) -> float:
    """The trials' part of a budget of time: by number, of all that is to be trained.

    ASHA shortens trials and not these runs, so the part is rather too large.

    Args:
        spec: Of the search.
        trials: Still to be run.

    Returns:
        In (0, 1].
    """
    if not spec.confirm or trials <= 0:
        return 1.0
    runs = (min(spec.confirm, spec.trials) + 1) * spec.seeds
    return trials / (trials + runs)


def is_due(spec: SearchSpec) -> bool:
    """Whether something is to be confirmed, or a plan for it to be made or given up."""
    events = read_journal(spec.folder / JOURNAL_FILE)
    wanted, known = _wanted(spec, events), read_confirmation(events)
    return _plan_of(wanted) != _plan_of(known) or (known is not None and bool(known.left))


def plan(spec: SearchSpec, events: EventLog) -> Confirmation | None:
    """What the search asks to confirm now, written to the journal where that is new.

    Returns:
        None: nothing is to be confirmed.

    Raises:
        OSError: the journal cannot be written.
    """
    journal = read_journal(spec.folder / JOURNAL_FILE)
    wanted = _wanted(spec, journal)
    if _plan_of(wanted) != _plan_of(read_confirmation(journal)):
        new = wanted or Confirmation(trials=(), seeds=(), paper=None)
        events.emit(
            "confirm_planned", trials=list(new.trials), seeds=list(new.seeds), paper=new.paper
        )
    return read_confirmation(read_journal(spec.folder / JOURNAL_FILE))


def train_left(confirmation: Confirmation, workshop: Workshop, events: EventLog) -> None:
    """Train what is left, until it has ended or the switch was thrown; needs a running Ray.

    Raises:
        Exception: whatever Tune raises where it cannot go on.
    """
    from ray.tune.schedulers import FIFOScheduler

    from search.confirm_tune import Candidates, ConfirmProposal, ConfirmRecorder, RunSearcher

    spec, switch = workshop.spec, workshop.switch
    params = _params(read_journal(spec.folder / JOURNAL_FILE))
    for pair in confirmation.left:
        ConfirmFolder.of(spec.folder, pair).drop_stale()
    open_runs = Candidates(
        deque(
            ConfirmProposal(number=trial, params=params[trial], resumes=None, seed=seed)
            for trial, seed in confirmation.left
        )
    )
    kept = confirmation.seeds[0]

    def ray_config(run: ConfirmProposal) -> dict[str, Any]:
        own = ConfirmFolder.of(spec.folder, (run.number, run.seed))
        return {
            "number": run.number,
            "config": spec.trial_config(run.params, run.seed).to_mapping(),
            # the model of the first seed may be exported
            "weights_dir": str(own.weights) if run.seed == kept else None,
            "checkpoints_dir": str(own.checkpoints),
            "checkpoint_every": spec.checkpoint_every,
            "resumes": [],
        }

    recorder = ConfirmRecorder(
        events,
        open_runs,
        epochs=spec.longest.epochs,
        reduction_factor=spec.reduction_factor,
        folder=spec.folder,
        on_broken=lambda why: switch.throw("failed", why),
    )
    workshop.fit(
        spec.name + _SUFFIX,
        searcher=RunSearcher(open_runs, ray_config),
        scheduler=FIFOScheduler(),
        recorder=recorder,
        trials=len(confirmation.left),
    )


def undecided(folder: Path) -> str:
    """In a few words why the winner cannot be chosen yet; "": it can, or nothing was asked for."""
    confirmation = read_confirmation(read_journal(folder / JOURNAL_FILE))
    if confirmation is None or confirmation.decided:
        return ""
    done, wanted = len(confirmation.compared), len(confirmation.seeds)
    return f"{done} of {wanted} seeds are confirmed, too few to choose by"


def _wanted(spec: SearchSpec, events: list[dict[str, Any]]) -> Confirmation | None:
    if not spec.confirm:
        return None
    trials, paper = candidates(events, spec.confirm)
    if not trials:
        return None
    seeds = seeds_to_confirm(spec.config.seed, spec.seeds)
    return Confirmation(trials=trials, seeds=seeds, paper=paper)


def _plan_of(confirmation: Confirmation | None) -> tuple[Any, ...]:
    if confirmation is None:
        return ()
    return confirmation.trials, confirmation.seeds, confirmation.paper


def _params(events: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {e["trial"]: e["params"] for e in events if e["event"] == "trial_started"}
