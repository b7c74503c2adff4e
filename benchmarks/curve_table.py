"""Full learning curves of many configurations, as a file that replays read instead of training.

JSON lines: a head that says what was trained on what, then a configuration a line, in the order in
which they ended. No text of a corpus is in it.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from trainable.errors import UsageError

CURVE_FORMAT: Final = "longtail-search/curves"
SCORE: Final = "val/micro_f1"
"""What a configuration is judged by: the default objective."""
CURVE_METRICS: Final = (SCORE, "val/macro_f1", "val/tail/micro_f1")
_DIGITS: Final = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One configuration, trained to its last epoch or until it diverged."""

    loss: str
    number: int
    """Within its loss; 0: the paper's values."""
    params: Mapping[str, Any]
    """What a search samples."""
    metrics: Mapping[str, tuple[float, ...]]
    """Of each epoch, by the names of `CURVE_METRICS`."""
    epoch_s: tuple[float, ...]
    """CPU seconds of each epoch on one core, validation included; what a quiet machine waits."""
    ended: str = "completed"
    """Or `diverged`: in the epoch after the last one here."""

    @property
    def scores(self) -> tuple[float, ...]:
        """Validation micro-F1 of each epoch."""
        return self.metrics[SCORE]

    @property
    def best(self) -> float:
        """The score of the best epoch; 0 without one."""
        return max(self.scores, default=0.0)

    def best_until(self, epoch: int) -> float:
        """The best score of the first `epoch` epochs."""
        return max(self.scores[:epoch], default=0.0)

    def to_line(self) -> str:
        """A line of the file, without its end."""
        values = dataclasses.asdict(self)
        values["metrics"] = {name: _rounded(row) for name, row in self.metrics.items()}
        values["epoch_s"] = [round(seconds, 3) for seconds in self.epoch_s]
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_line`, once that is parsed."""
        metrics = {name: tuple(row) for name, row in values["metrics"].items()}
        return cls(**{**values, "metrics": metrics, "epoch_s": tuple(values["epoch_s"])})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CurveTable:
    """All that a file of curves says."""

    head: Mapping[str, Any]
    """`epochs`, `mu`, `tune`, `encoder` and where it comes from."""
    curves: Sequence[Curve]

    @property
    def epochs(self) -> int:
        """Length of a complete curve."""
        return int(self.head["epochs"])

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that have curves, in order of first appearance."""
        return tuple(dict.fromkeys(curve.loss for curve in self.curves))

    def of(self, loss: str) -> tuple[Curve, ...]:
        """The curves of a loss, ascending by number."""
        found = [curve for curve in self.curves if curve.loss == loss]
        return tuple(sorted(found, key=lambda curve: curve.number))


def read_table(path: Path) -> CurveTable:
    """Read a file of curves; a last line that was cut off is left out.

    Raises:
        UsageError: no such file, or not one of curves.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a table of curves ({error})") from None
    whole = [line for line in lines if line.endswith("\n")]
    try:
        head, *rows = (json.loads(line) for line in whole)
        if head.pop("format") != CURVE_FORMAT:
            raise KeyError("format")
        curves = tuple(Curve.from_mapping(row) for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: not a table of curves ({error!r}): make one with `python -m "
            "benchmarks.tabulate --out FILE`"
        ) from None
    return CurveTable(head=head, curves=curves)


def start_table(path: Path, head: Mapping[str, Any]) -> CurveTable:
    """The table in `path`, to be gone on with; an empty one where there is none.

    Raises:
        UsageError: what is there was made of something else.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": CURVE_FORMAT, **head}) + "\n", encoding="utf-8")
    table = read_table(path)
    for name, value in head.items():
        if table.head.get(name) != value:
            raise UsageError(
                f"{path}: its {name} is {table.head.get(name)!r}, and this run's is {value!r}: "
                "name another file"
            )
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines[-1].endswith("\n"):  # cut off when it was written
        path.write_text("".join(lines[:-1]), encoding="utf-8")
    return table


def append_curve(path: Path, curve: Curve) -> None:
    """Add a configuration that has ended."""
    with path.open("a", encoding="utf-8") as file:
        file.write(curve.to_line() + "\n")


def _rounded(row: Sequence[float]) -> list[float]:
    return [round(value, _DIGITS) for value in row]
