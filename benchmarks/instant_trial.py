"""A trial that trains nothing and returns at once, with as many numbers as a real one."""

from typing import Any, Final

from ray.tune import Trainable

from trainable.config import BEST_OBJECTIVE, OBJECTIVE
from trainable.objectives import SCORE_KEYS

_GROUPS: Final = ("head", "medium", "tail")
_NAMES: Final = (
    *("train/loss", "train/learning_rate", "train/grad_norm"),
    *("val/loss", "val/micro_f1_at_0.5", "val/macro_f1_at_0.5", "val/threshold"),
    *SCORE_KEYS.values(),
    *(f"best/{score}" for score in SCORE_KEYS),
    *(f"val/{group}/{score}_f1" for group in _GROUPS for score in ("micro", "macro")),
    *("time/epoch_s", "time/train_s", "time/validation_s", "time/train_docs_per_s"),
)


class InstantTrial(Trainable):
    """Its objective rises towards a number that its configuration gives; its epochs take no time.

    `config` has `number`, and `config` with `learning_rate` and `epochs`, as a search gives it.
    """

    def setup(self, config: dict[str, Any], **_: Any) -> None:
        """Begin the first trial."""
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another one."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        self._epoch += 1
        value = self._quality * (1 - 0.5**self._epoch)
        return {
            **dict.fromkeys(_NAMES, value / 2),
            OBJECTIVE: value,
            BEST_OBJECTIVE: value,
            "best/epoch": self._epoch,
            "best/threshold": 0.4,
            "epoch": self._epoch,
            "done": self._epoch >= self._epochs,
            "end_status": "",
            "end_reason": "",
        }

    def _begin(self, config: dict[str, Any]) -> None:
        self._epoch = 0
        self._epochs = int(config["config"]["epochs"])
        rate = float(config["config"]["learning_rate"])
        # best at 3e-4; ties are rare, as among real trials
        self._quality = 1 / (1 + abs(rate - 3e-4) / 3e-4) - 1e-9 * config["number"]
