"""What a resumed search has to be asked before it goes on: is it still the same search?"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from search import confirm, preflight
from search.confirmation import SEEDS_ALONE
from search.console import Terminal
from search.credentials import VARIABLES, from_environment
from search.differences import (
    Difference,
    check_acceptable,
    check_data,
    differences,
    machine_differences,
)
from search.files import read_json
from search.final_test import test_is_due
from search.hardware import Hardware
from search.provenance import add_origin, describe_origin, origins
from search.results import DATASET_NAME, SearchRecord
from search.spec import SPEC_NAME, SearchSpec
from search.strangers import check_entries
from search.tables import differences_table
from search.tracking.check import absolute_uri
from trainable.errors import UsageError
from trainable.paths import expand

RESUME_OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "time_budget": "time_budget_s",
        "compute_budget": "compute_budget_s",
        "disk_budget": "disk_budget_gib",
        "hang_timeout": "hang_timeout_s",
        **{name: name for name in ("trials", "patience", "confirm", "seeds", "address")},
        **{name: name for name in ("storage", "tracking_uri")},
    }
)
"""Options that give a field of SearchSpec another value, and that field."""
_ADDRESSES: Final = ("storage", "tracking_uri")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ResumeRequest:
    """The options of `python -m search resume`."""

    name: str
    """Of an existing search."""
    runs_dir: str
    """Where it lies."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """New values of SearchSpec's budgets, `trials`, `confirm`, `seeds` and addresses."""
    add_trials: int | None = None
    """Trials beyond those that the search has; not with `trials` in `changes`."""
    accept_changes: bool = False
    """Whether to go on with other code, versions or settings."""
    trust: bool = False
    """Whether to use what spec.yaml names, whoever wrote it."""


def resume_changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """`ResumeRequest.changes` from the options of `resume`; None: not said."""
    changes = {field: options.get(name) for name, field in RESUME_OPTIONS.items()}
    for name in _ADDRESSES:
        changes[name] = absolute_uri(changes[name])
    return {field: value for field, value in changes.items() if value is not None}


def resumed_spec(request: ResumeRequest) -> SearchSpec:
    """The spec of the search with what the request changes.

    Raises:
        UsageError: no such search, a link in its folder, or fewer trials than it has.
    """
    runs = expand(request.runs_dir, "--runs-dir").absolute()
    folder = preflight.find_search(request.name, runs)
    check_entries(folder)
    before = SearchSpec.load(folder / SPEC_NAME)
    changes = dict(request.changes)
    if request.add_trials is not None:
        if request.add_trials < 1:
            raise UsageError(f"--add-trials must be at least 1, got {request.add_trials}")
        changes["trials"] = before.trials + request.add_trials
    spec = before.replace(**changes, runs_dir=str(runs), name=request.name)
    # a folder keeps no passwords
    known = {name: getattr(spec, name) for name in VARIABLES if getattr(spec, name)}
    spec = spec.replace(**{name: from_environment(name, uri) for name, uri in known.items()})
    if spec.trials < before.trials:
        raise UsageError(
            f"--trials must be at least the search's {before.trials}, got {spec.trials}"
        )
    if "seeds" in changes and not spec.confirm:
        raise UsageError(SEEDS_ALONE)
    return spec


def nothing_left(spec: SearchSpec, record: SearchRecord) -> bool:
    """Whether all trials of a search have ended, and its winner has test scores."""
    ended = sum(trial.ended is not None for trial in record.trials)
    if record.status != "completed" or ended < spec.trials:
        return False
    return not confirm.is_due(spec) and not test_is_due(spec.folder)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What a search runs with now, beside what its attempts before ran with."""

    spec: SearchSpec
    earlier: tuple[Mapping[str, Any], ...]
    """`search.provenance.origins`; empty where the search is older than they are."""
    now: dict[str, Any]
    """`describe_origin` of this attempt."""

    @classmethod
    def of(cls, spec: SearchSpec, hardware: Hardware) -> "Comparison":
        """Compute what this attempt would run with; the data come later."""
        now = describe_origin(spec, hardware, Path.cwd(), data=None)
        return cls(spec=spec, earlier=tuple(origins(spec.folder)), now=now)

    @property
    def rows(self) -> tuple[Difference, ...]:
        """What decides the numbers and is not as the last attempt had it."""
        return differences(self.earlier[-1], self.now) if self.earlier else ()

    @property
    def changes(self) -> list[dict[str, str]]:
        """`rows` for the journal."""
        return [dataclasses.asdict(row) for row in self.rows]

    def check(self, terminal: Terminal, *, accept: bool) -> None:
        """Show what is not as it was; refuse it unless it is accepted.

        Raises:
            UsageError: it is not accepted, or cannot be.
        """
        name = self.spec.name
        if self.rows:
            terminal.show(differences_table(self.rows))
        check_acceptable(name, self.earlier, self.now)
        if self.rows and not accept:
            raise UsageError(
                f"search '{name}' is not what it was (see the table above), and its trials may "
                "not compare any more: restore that, or go on with --accept-changes"
            )
        if self.earlier and self.spec.address is None:
            told = machine_differences(self.earlier[-1], self.now)
            if told:
                rows = ", ".join(f"{row.what} {row.then} -> {row.now}" for row in told)
                terminal.warn(f"another machine than before, so numbers may round apart: {rows}")

    def check_data(self, fingerprint: str) -> None:
        """Refuse other data than the search began with.

        Raises:
            UsageError: they are other data.
        """
        recorded = (read_json(self.spec.folder / DATASET_NAME) or {}).get("fingerprint")
        check_data(self.spec.name, self.earlier, recorded, fingerprint)
        self.now["numbers"]["data"] = fingerprint

    def keep(self, event: Mapping[str, Any]) -> None:
        """A listener: once the journal says that the attempt began, versions.json says so too.

        In this order: killed in between, the next attempt asks again instead of never.
        """
        if event["event"] == "search_started" and event.get("changes"):
            add_origin(self.spec.folder, self.now, attempt=event["attempt"])
