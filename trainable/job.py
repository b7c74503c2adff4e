"""What an actor is told to train: the config that Ray hands it, read."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from trainable.batching import half_of
from trainable.config import TrialConfig
from trainable.head import SLICE_DOCS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One trial; `FineTuneTrial` has its fields."""

    number: int
    config: TrialConfig
    weights_dir: Path | None
    checkpoints_dir: Path | None
    checkpoint_every: int
    resumes: tuple[int, ...]
    halved: bool

    @classmethod
    def of(cls, ray_config: Mapping[str, Any]) -> Self:
        """The job in a config as `FineTuneTrial` describes it."""
        folders = (ray_config.get(name) for name in ("weights_dir", "checkpoints_dir"))
        weights_dir, checkpoints_dir = (Path(folder) if folder else None for folder in folders)
        return cls(
            number=ray_config["number"],
            config=TrialConfig.from_mapping(ray_config["config"]),
            weights_dir=weights_dir,
            checkpoints_dir=checkpoints_dir,
            checkpoint_every=ray_config.get("checkpoint_every", 0),
            resumes=tuple(ray_config.get("resumes", ())),
            halved=ray_config.get("halved", False),
        )

    @property
    def micro_batch(self) -> int:
        """Documents that go through the model at once in training, at most."""
        batch = self.config.batch_size
        whole = min(batch, SLICE_DOCS) if self.config.tune == "head" else batch
        return half_of(whole) if self.halved else whole

    @property
    def micro_batches(self) -> str:
        """That for people."""
        count = self.micro_batch
        return f"micro-batches of {'one document' if count == 1 else f'at most {count} documents'}"
