"""best.yaml: the configuration that a search chose, complete enough to train that model again.

Imports no torch: the command line writes it, `python -m trainable` reads it.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeGuard

import yaml

from trainable.config import LOSS_HYPERPARAMETERS, OBJECTIVE, TrialConfig, parse_setting
from trainable.errors import UsageError, unknown_name
from trainable.paths import write_text
from trainable.plain_yaml import parse_yaml

BEST_FORMAT: Final = "longtail-search/best"
BEST_VERSION: Final = 2

_HEADER: Final = "# Written by `python -m search export`; train it with `python -m trainable`.\n"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BestConfig:
    """What is needed to train the chosen model again, and to tell that it is the same.

    Raises:
        UsageError: a value that no search could have written.
    """

    config: TrialConfig
    """Complete: `mu` is explicit where the loss uses it."""
    best_epoch: int
    """Epochs to train, in [1, config.epochs]; the schedule's horizon stays config.epochs."""
    threshold: float
    """Chosen on validation at that epoch, in (0, 1)."""
    validation: Mapping[str, Any]
    """Metrics of that epoch by their names in the journal; at least `val/objective`."""
    search: Mapping[str, Any]
    """Where it came from, for people: name of the search, trial, number of trials ..."""
    data_fingerprint: str
    """`TextDataset.fingerprint` of the data that the trial was trained on."""
    versions: Mapping[str, Any]
    """Of the packages at the time of the search, by name."""

    def __post_init__(self) -> None:
        if "mu" in LOSS_HYPERPARAMETERS[self.config.loss] and self.config.mu is None:
            raise UsageError(f"config lacks 'mu', which loss '{self.config.loss}' needs")
        epochs = self.config.epochs
        if not _is_int(self.best_epoch) or not 1 <= self.best_epoch <= epochs:
            raise UsageError(f"best_epoch must be in 1..{epochs}, got {self.best_epoch!r}")
        if not _is_number(self.threshold) or not 0 < self.threshold < 1:
            raise UsageError(f"threshold must lie in (0, 1), got {self.threshold!r}")
        for name in ("validation", "search", "versions"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name} must be a mapping, got {getattr(self, name)!r}")
        objective = self.validation.get(OBJECTIVE)
        if not _is_number(objective) or not 0 <= objective <= 1:
            raise UsageError(f"validation must hold {OBJECTIVE} in [0, 1], got {objective!r}")
        if not isinstance(self.data_fingerprint, str) or not self.data_fingerprint:
            raise UsageError(f"data_fingerprint must be text, got {self.data_fingerprint!r}")

    @property
    def objective(self) -> float:
        """What the trial was judged by, at its best epoch and threshold; in [0, 1]."""
        return float(self.validation[OBJECTIVE])

    def save(self, path: Path) -> None:
        """Write best.yaml, whole or not at all.

        Raises:
            OSError: the folder cannot be written.
        """
        values = {
            "format": BEST_FORMAT,
            "version": BEST_VERSION,
            "config": self.config.to_mapping(),
            "best_epoch": self.best_epoch,
            "threshold": self.threshold,
            "validation": dict(self.validation),
            "search": dict(self.search),
            "data_fingerprint": self.data_fingerprint,
            "versions": dict(self.versions),
        }
        text = _HEADER + yaml.safe_dump(values, sort_keys=False)
        write_text(path, text)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read best.yaml.

        Raises:
            UsageError: no such file, not a best.yaml, another version, an edit that makes no
                sense; one line that begins with the path.
        """
        try:
            return cls._from_mapping(_read(path))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    @classmethod
    def _from_mapping(cls, values: Mapping[str, Any]) -> Self:
        if values.get("format") != BEST_FORMAT:
            raise UsageError(f"not a best.yaml: it must hold 'format: {BEST_FORMAT}'")
        if values.get("version") != BEST_VERSION:
            raise UsageError(
                f"version {values.get('version')!r} of {BEST_FORMAT}, but this program reads "
                f"version {BEST_VERSION}: export it again with this program"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in (*names, "format", "version"):
                raise unknown_name("key", key, names)
        for name in names:
            if name not in values:
                raise UsageError(f"the key '{name}' is missing: export it again")
        if not isinstance(values["config"], Mapping):
            raise UsageError(f"config must be a mapping of settings, got {values['config']!r}")
        fields = {name: values[name] for name in names}
        return cls(**{**fields, "config": _config(values["config"])})


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("no such file") from None
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError("cannot be read: it is not text") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise UsageError(f"not valid YAML{where}") from None
    if not isinstance(values, Mapping):
        raise UsageError(f"not a best.yaml: it must hold 'format: {BEST_FORMAT}'")
    return values


def _config(values: Mapping[str, Any]) -> TrialConfig:
    """As `TrialConfig.from_mapping`, but `1e-4` is a number: YAML reads it as text."""
    names = {field.name: str(field.type) for field in dataclasses.fields(TrialConfig)}
    plain = {}
    for name, value in values.items():
        number = isinstance(value, str) and "float" in names.get(name, "")
        plain[name] = parse_setting(name, value) if number else value
    return TrialConfig.from_mapping(plain)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
