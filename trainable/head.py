"""Head mode: a trial trains a small head on cached features, in seconds (`TrialConfig.tune`).

Shapes: B documents, F features, L labels.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from trainable.batching import Indices, batches_of, dense_targets, half_of
from trainable.config import TrialConfig
from trainable.device import seeded
from trainable.encoded import EncodedSplit
from trainable.head_layers import Head

if TYPE_CHECKING:
    from trainable.head_model import HeadModel
    from trainable.model import PristineWeights

SLICE_DOCS: Final = 4096
"""Of one forward pass, at most."""


def build_head(
    config: TrialConfig, *, num_features: int, num_labels: int, device: torch.device
) -> Head:
    """The head of a new trial, drawn from `config.seed` on the CPU: the same on any device.

    Args:
        config: `head_hidden`, `dropout` and `seed` are read.
        num_features: F.
        num_labels: L.
        device: where it shall be.
    """
    assert config.head_hidden is not None
    with seeded(config.seed, torch.device("cpu")):
        return Head(num_features, config.head_hidden, num_labels, config.dropout).to(device)


def with_encoder(
    head: Head, config: TrialConfig, pristine: "PristineWeights", label_names: Sequence[str]
) -> "HeadModel":
    """The frozen encoder and a trained head as one model, on the CPU and in evaluation mode."""
    from trainable.head_model import HeadConfig, HeadModel  # transformers: trials do without
    from trainable.model import build_bert, label_settings

    settings = {
        **pristine.config.to_dict(),
        **label_settings(label_names),
        "head_hidden": config.head_hidden,
        "head_dropout": config.dropout,
    }
    settings.pop("model_type")
    with seeded(0, torch.device("cpu")):  # its random weights are overwritten
        model = HeadModel(HeadConfig(**settings))
    model.bert.load_state_dict(build_bert(pristine, torch.device("cpu")).state_dict())
    model.head.load_state_dict(head.state_dict())
    return model.eval()


@dataclasses.dataclass(kw_only=True, slots=True)
class HeadForward:
    """From documents to logits by way of their features; the surface of `forward.Forward`.

    Computes in float32: there is nothing to gain on a head.
    """

    model: Head
    precision: str = "fp32"
    halved: bool = False
    """As in `forward.Forward`."""

    @property
    def device(self) -> torch.device:
        """Where the head is."""
        return self.model.classifier.weight.device

    def seed_dropout(self, seed: int) -> None:
        """Nothing: the head's dropout draws from torch's generators."""

    def autocast(self) -> AbstractContextManager[None]:
        """Nothing to enter."""
        return nullcontext()

    def slices(self, split: EncodedSplit, docs_B: Indices) -> list[Indices]:  # noqa: ARG002
        """Positions in `docs_B`, each exactly once."""
        size = max(1, min(len(docs_B), SLICE_DOCS))
        return list(batches_of(np.arange(len(docs_B)), half_of(size) if self.halved else size))

    def logits(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32."""
        assert split.features is not None
        return self.model(torch.from_numpy(split.features[docs_B]).to(self.device))

    def targets(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Targets [B, L] bool."""
        return dense_targets(split, docs_B, self.model.classifier.out_features, self.device)

    @torch.no_grad()
    def inference(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of any number of documents, in the order of `docs_B`."""
        self.model.eval()
        return torch.cat(
            [self.logits(split, docs_B[positions]) for positions in self.slices(split, docs_B)]
        )
