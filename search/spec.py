"""The resolved search: everything decided before the first trial, stored beside the results.

`spec.yaml` is the search's identity: its fingerprint covers what changes the numbers, and leaves
out what only says where and how fast they are computed.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from search.confirmation import DEFAULT_SEEDS
from search.credentials import without_credentials
from search.files import read_yaml, write_yaml
from search.samplers import TPE, check_sampler_name
from search.spec_checks import (
    at_least,
    check_confirm,
    check_space,
    not_negative,
    plain_value,
    positive,
)
from spaces import AUTO, Space
from trainable.config import TrialConfig
from trainable.errors import UsageError, unknown_name
from trainable.objectives import scores_of

SPEC_NAME: Final = "spec.yaml"
SPEC_FORMAT: Final = "longtail-search/spec"
SPEC_VERSION: Final = 2

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A search name is a folder, a study and a run name at once."""

_OPERATIONAL: Final = frozenset(
    {"name", "runs_dir", "preset", "trials", "time_budget_s", "cpus_per_trial", "gpus_per_trial"}
    | {"max_concurrent", "checkpoint_every", "address", "tracking_uri", "storage"}
    | {"compute_budget_s", "disk_budget_gib", "patience", "confirm", "seeds", "hang_timeout_s"}
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpec:
    """One search, complete and checked.

    Raises:
        UsageError: a value outside its range, or a space over a setting that trials must share.
    """

    name: str
    """Of the folder, the Optuna study and the MLflow parent run."""
    runs_dir: str
    """Folder of all searches; absolute, because workers change their working directory."""
    preset: str
    """The preset that filled what the user left open."""
    config: TrialConfig
    """Of trial 0: the paper's values for what is sampled, the fixed value for everything else; mu
    explicit. Where the loss is searched, it has the first of them."""
    space: Space
    """What is sampled."""
    trials: int
    """Trials of the whole search, trial 0 (the paper's values) included; at least 1."""
    time_budget_s: float | None = None
    """Seconds after which no trial goes on; None: no limit."""
    compute_budget_s: float | None = None
    """Seconds of trials, summed over those that run side by side; None: no limit."""
    disk_budget_gib: float | None = None
    """What the search folder may hold; None: no limit."""
    patience: int = 0
    """Trials without a better best after which no more are proposed; 0: never."""
    grace_period: int
    """Epochs before ASHA may stop a trial; at least 1."""
    reduction_factor: int
    """ASHA keeps the best 1/reduction_factor at each rung; at least 2."""
    cpus_per_trial: float
    """CPU cores that Ray reserves for a trial."""
    gpus_per_trial: float = 0.0
    """GPUs, or a fraction of one, that Ray reserves for a trial."""
    max_concurrent: int
    """At most so many trials at once; at least 1."""
    checkpoint_every: int = 0
    """Epochs between two checkpoints of a trial, which it goes on from if it is interrupted; 0: it
    starts anew then."""
    sampler: str = TPE
    """A name of `search.samplers`."""
    warm_start: tuple[str, ...] = ()
    """Earlier searches whose trials the sampler knows (`search.warm_start`)."""
    pareto: bool = False
    """Whether the scores of `config.objective` are traded off instead of averaged. ASHA and the
    winner go by their mean all the same."""
    hang_timeout_s: float | None = None
    """Seconds without an event after which a search counts as hung; None: from what its epochs
    take; 0: it never does."""
    seed: int = 0
    """Of the sampler; trials have `config.seed`."""
    confirm: int = 0
    """So many of the best configurations, and the paper's values, are trained again; 0: none."""
    seeds: int = DEFAULT_SEEDS
    """With so many seeds each, the ones after `config.seed`; in 2..100."""
    points: tuple[Mapping[str, Any], ...] = ()
    """What trials 1, 2 ... begin with, after the paper's values; dimensions may be left open."""
    address: str | None = dataclasses.field(default=None, repr=False)
    """Of an existing Ray cluster; None: a private one on this machine."""
    storage: str | None = dataclasses.field(default=None, repr=False)
    """Of the database with the Optuna study; None: `study.db` in the search folder."""
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)
    """Of the MLflow store; None: `sqlite:///RUNS_DIR/mlflow.db`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if not Path(self.runs_dir).is_absolute():
            raise UsageError(f"runs_dir must be an absolute path, got '{self.runs_dir}'")
        at_least("trials", self.trials, 1)
        at_least("grace-period", self.grace_period, 1)
        at_least("reduction-factor", self.reduction_factor, 2)
        at_least("max-concurrent", self.max_concurrent, 1)
        at_least("checkpoint-every", self.checkpoint_every, 0)
        at_least("seed", self.seed, 0)
        check_confirm(self.config, self.confirm, self.seeds)
        positive("cpus-per-trial", self.cpus_per_trial)
        not_negative("gpus-per-trial", self.gpus_per_trial)
        if self.gpus_per_trial > 1 and self.gpus_per_trial != int(self.gpus_per_trial):
            raise UsageError(
                f"gpus-per-trial above 1 must be a whole number, got {self.gpus_per_trial:g}"
            )
        for name in ("time_budget_s", "compute_budget_s", "disk_budget_gib"):
            if (budget := getattr(self, name)) is not None:
                positive(name.rpartition("_")[0].replace("_", "-"), budget)
        not_negative("hang-timeout", self.hang_timeout_s or 0.0)
        at_least("patience", self.patience, 0)
        check_sampler_name(self.sampler)
        if self.warm_start and (self.sampler != TPE or self.pareto):
            raise UsageError(
                "--warm-start is for TPE with one objective: leave out "
                f"{'the second score' if self.pareto else f'--sampler {self.sampler}'}, or use "
                "--start-from"
            )
        if self.pareto and len(scores_of(self.config.objective)) != 2:
            raise UsageError(
                f"a Pareto front is of two scores, got objective '{self.config.objective}': "
                "say --objective micro_f1,macro_f1"
            )
        check_space(self.space, self.config, self.sampler)

    @property
    def first_points(self) -> tuple[Mapping[str, Any], ...]:
        """What the first trials begin with: the paper's values of each loss, then `points`."""
        return (*self.space.paper_points(), *self.points)

    @property
    def folder(self) -> Path:
        """Where this search keeps everything: RUNS_DIR/NAME."""
        return Path(self.runs_dir) / self.name

    @property
    def pareto_scores(self) -> tuple[str, ...]:
        """The two scores that are traded off; empty where one objective is searched for."""
        return scores_of(self.config.objective) if self.pareto else ()

    @property
    def longest(self) -> TrialConfig:
        """`config` with the most epochs and word pieces that a trial may have."""
        ends: dict[str, int] = {}
        for dimension in self.space.dimensions:
            values: tuple[Any, ...] = dimension.choices or (dimension.high,)
            if dimension.name in ("epochs", "max_length"):
                ends[dimension.name] = max(values)
        return self.config.replace(**ends)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which ASHA may stop a trial, ascending; empty: it stops none."""
        rungs = []
        epoch = self.grace_period
        longest = self.longest.epochs
        while epoch < longest:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)

    @property
    def deciding(self) -> dict[str, Any]:
        """What changes the numbers, as plain values; the data have a fingerprint of their own."""
        values = {k: v for k, v in self.to_mapping().items() if k not in _OPERATIONAL}
        values["config"] = {k: v for k, v in values["config"].items() if k != "data_path"}
        return values

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over `deciding`."""
        return hashlib.sha256(json.dumps(self.deciding, sort_keys=True).encode()).hexdigest()

    def trial_config(self, params: Mapping[str, Any], seed: int | None = None) -> TrialConfig:
        """The complete configuration of the trial with these sampled `params`.

        Args:
            params: By name.
            seed: Of training; None: the one that all trials of the search share.
        """
        config = self.space.complete(self.config, params)
        return config if seed is None else config.replace(seed=seed)

    def of_loss(self, loss: str) -> Self:
        """This search as one of that loss alone, one of `space.losses`, with its own trial 0."""
        if self.space.loss != AUTO:
            return self
        place = self.space.losses.index(loss)
        return self.replace(
            config=self.trial_config(self.space.paper_points()[place]),
            space=self.space.of_loss(loss),
            points=(),
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values in the order of declaration; addresses without credentials."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **values,
            "config": self.config.to_mapping(),
            "space": self.space.to_mapping(),
            "points": [dict(point) for point in self.points],
            "warm_start": list(self.warm_start),
            "address": without_credentials(self.address),
            "storage": without_credentials(self.storage),
            "tracking_uri": without_credentials(self.tracking_uri),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_mapping`, up to credentials.

        Raises:
            UsageError: an unknown, missing or nonsensical value.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key in values:
            if key not in fields:
                raise unknown_name("key", key, fields)
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise UsageError(f"the key '{name}' is missing")
        earlier = values.get("warm_start", [])
        if not isinstance(earlier, list) or not all(isinstance(name, str) for name in earlier):
            raise UsageError(f"'warm_start' must be a list of searches, got {earlier!r}")
        points = values.get("points", [])
        if not isinstance(points, list) or not all(isinstance(p, Mapping) for p in points):
            raise UsageError(f"'points' must be a list of settings, got {points!r}")
        for name in ("config", "space"):
            if not isinstance(values[name], Mapping):
                raise UsageError(f"'{name}' must hold settings, got {values[name]!r}")
        return cls(
            **{
                **{
                    name: plain_value(fields[name], values[name])
                    for name in values
                    if name not in ("points", "warm_start")
                },
                "points": tuple(points),
                "warm_start": tuple(earlier),
                "config": TrialConfig.from_mapping(values["config"]),
                "space": Space.from_mapping(values["space"]),
            }
        )

    def save(self, path: Path) -> None:
        """Write the spec as YAML, whole or not at all, without credentials."""
        write_yaml(path, SPEC_FORMAT, SPEC_VERSION, self.to_mapping())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a spec.

        Raises:
            UsageError: no such file, not a spec, another version, or an edit that makes no sense.
        """
        values = read_yaml(path, SPEC_FORMAT, SPEC_VERSION)
        try:
            return cls.from_mapping(values)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be a search's name."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"a search name has 1 to 100 letters, digits, '.', '_' or '-' and starts with a "
            f"letter or digit, got '{name}'"
        )
