"""What the user said on the command line, and no more."""

import dataclasses
from pathlib import Path
from typing import Any, Final

from search.presets import AUTO
from trainable.config import parse_setting
from trainable.errors import UsageError
from trainable.paths import expand, is_folder

_OPTION_SETTINGS: Final = (
    *("loss", "tune", "dataset", "encoder", "epochs", "precision", "split_seed"),
    "max_train_docs",
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """The options of `python -m search run`; None: not said."""

    loss: str | None = None
    tune: str | None = None
    dataset: str | None = None
    data: str | None = None
    encoder: str | None = None
    preset: str = AUTO
    trials: int | None = None
    epochs: int | None = None
    precision: str | None = None
    grace_period: int | None = None
    reduction_factor: int | None = None
    objective: str | None = None
    """Scores joined by `+` (their mean) or by `,` (a Pareto front)."""
    sampler: str | None = None
    time_budget: float | None = None
    """Seconds."""
    compute_budget: float | None = None
    """Seconds."""
    disk_budget: float | None = None
    """GiB."""
    patience: int | None = None
    points: tuple[str, ...] = ()
    """Files of --point."""
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    checkpoint_every: int | None = None
    hang_timeout: float | None = None
    """Seconds; 0: none."""
    start_from: str | None = None
    warm_start: tuple[str, ...] = ()
    confirm: int | None = None
    seeds: int | None = None
    seed: int | None = None
    split_seed: int | None = None
    max_train_docs: int | None = None
    settings: tuple[str, ...] = ()
    """`name=value` texts of --set."""
    space: str | None = None
    """A YAML file with ranges."""
    address: str | None = None
    name: str | None = None
    runs_dir: str = "runs"
    storage: str | None = None
    tracking_uri: str | None = None
    dry_run: bool = False
    json: bool = False


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """The values of `--set name=value`, checked.

    Raises:
        UsageError: no `=`, an unknown name, a value of the wrong type, one name twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes name=value, got '{text}'")
        if name in values:
            raise UsageError(f"--set {name} is given twice: keep one")
        values[name] = parse_setting(name, value)
    return values


def says(request: RunRequest, name: str) -> bool:
    """Whether the user chose the setting `name`; otherwise a preset or the paper did."""
    return name in said_settings(request)


def said_settings(request: RunRequest) -> dict[str, Any]:
    """All settings that the user fixed, from --set and from the options of their own."""
    values = parse_settings(request.settings)
    named = {name: getattr(request, name) for name in _OPTION_SETTINGS}
    named["seed"] = request.seed
    if request.objective is not None:
        named["objective"] = request.objective.replace(",", "+")
    if request.data is not None:
        named["data_path"] = str(expand(request.data, "--data").resolve())
        if request.dataset is None and "dataset" not in values and is_own_data(request.data):
            named["dataset"] = "file"
        if "demo" in (request.dataset, values.get("dataset")):
            raise UsageError("dataset 'demo' is made by the program: leave --data out")
    if request.encoder is not None and is_folder(request.encoder, "--encoder"):
        named["encoder"] = str(expand(request.encoder, "--encoder").absolute())
    for name, value in named.items():
        if value is None:
            continue
        if values.setdefault(name, value) != value:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} {value} and --set {name}={values[name]} disagree: give one of them"
            )
    return values


def is_own_data(path: str) -> bool:
    """Whether a path names a file of the user's own."""
    return Path(path).suffix.lower() in {".jsonl", ".csv", ".parquet"}
