"""The searches of a comparison: which of them are new, begun or done, and are they told the same?

Each is an ordinary search, NAME-LOSS in the runs folder. One that there is must have been told what
the comparison tells now: a loss with twice the trials would win by them.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from search.compare.request import CompareRequest
from search.hardware import Hardware
from search.journal import BUDGET_STATUSES
from search.lock import is_live, owner
from search.request import RunRequest, says
from search.resolve import resolve
from search.results import SearchRecord, load_search
from search.spec import SPEC_NAME, SearchSpec
from search.strangers import uses
from spaces import LOSS_SETTINGS
from trainable.errors import UsageError

State = Literal["new", "begun", "done"]

_BUDGET: Final = (
    *("trials", "time_budget_s", "compute_budget_s", "disk_budget_gib", "patience", "confirm"),
    *("seeds", "grace_period", "reduction_factor", "sampler", "pareto", "seed"),
)
"""Of a spec: what a comparison is only fair with."""
_MAY_DIFFER: Final = frozenset({*LOSS_SETTINGS, "loss", "num_threads", "data_path"})
"""Settings of a trial that a loss, a machine or a folder brings with it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One search of a comparison."""

    loss: str
    request: RunRequest
    folder: Path
    state: State
    wall_s: float = 0.0
    """Seconds that it took so far."""
    trusted: bool = False
    """Whether the user says now all that it reaches outside its folder."""

    @property
    def name(self) -> str:
        """Of the search."""
        return self.folder.name


def plan_searches(request: CompareRequest, hardware: Hardware) -> tuple[Planned, ...]:
    """The searches, in the order of their losses; everything that can be refused is, here.

    Raises:
        UsageError: options that no search can have; a search that there is runs now, or was told
            something else.
    """
    return tuple(_planned(request, loss, hardware) for loss in request.losses)


def is_done(record: SearchRecord) -> bool:
    """Whether a search came to the end it was told to, and its winner has test scores."""
    return record.status in ("completed", *BUDGET_STATUSES) and record.test_report is not None


def check_idle(folder: Path) -> None:
    """Raise UsageError if some process runs this search."""
    if is_live(folder):
        raise UsageError(
            f"search '{folder.name}' is running (process {owner(folder)}): wait for its end, then "
            "compare"
        )


def _planned(request: CompareRequest, loss: str, hardware: Hardware) -> Planned:
    run = dataclasses.replace(request.run, loss=loss, name=f"{request.name}-{loss}")
    spec = resolve(run, hardware)
    if not (spec.folder / SPEC_NAME).exists():
        return Planned(loss=loss, request=run, folder=spec.folder, state="new")
    check_idle(spec.folder)
    record = load_search(spec.folder)
    _check_same(record.spec, resolve(run, hardware, mu=record.spec.config.mu), run)
    return Planned(
        loss=loss,
        request=run,
        folder=spec.folder,
        state="done" if is_done(record) else "begun",
        wall_s=record.wall_s,
        trusted=uses(record.spec).items() <= uses(spec).items(),
    )


def _check_same(there: SearchSpec, wanted: SearchSpec, run: RunRequest) -> None:
    then, now = _told(there, run), _told(wanted, run)
    changed = [name for name in now if then.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise UsageError(
            f"search '{there.name}' has {name} {_text(then.get(name))}, and this comparison asks "
            f"for {_text(now[name])}: all its searches must be told the same; use the options that "
            "it began with, or another --name"
        )


def _told(spec: SearchSpec, run: RunRequest) -> dict[str, Any]:
    # a preset that thins too much leaves more documents in: see search.run
    free = _MAY_DIFFER if says(run, "max_train_docs") else {*_MAY_DIFFER, "max_train_docs"}
    config = {k: v for k, v in spec.config.to_mapping().items() if k not in free}
    return {
        **{name: getattr(spec, name) for name in _BUDGET},
        **config,
        "loss": spec.space.loss,
        "learning_rate": _range_of(spec, "learning_rate"),
    }


def _range_of(spec: SearchSpec, name: str) -> Mapping[str, Any] | Any:
    for dimension in spec.space.dimensions:
        if dimension.name == name:
            return dimension.to_mapping()
    return getattr(spec.config, name)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
