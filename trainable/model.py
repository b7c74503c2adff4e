"""A BERT with one linear layer per label set: pretrained weights once, a fresh copy per trial.

Shapes: B documents, T word pieces, L labels.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pickle import UnpicklingError
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertModel
from transformers.utils import logging as transformers_logging

from trainable.config import TrialConfig
from trainable.device import seeded
from trainable.encoders import resolve_encoder
from trainable.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PristineWeights:
    """An encoder as published: read once per process, copied into each new trial (DESIGN D11)."""

    encoder: str
    """The name it was asked for by."""
    config: BertConfig
    state: Mapping[str, npt.NDArray[np.float32]]
    """Parameters of `BertModel`. Arrays, since these Ray shares between processes of a node."""
    missing: tuple[str, ...]
    """Parameters that the folder lacks (at most the pooler): drawn afresh for each trial."""

    @property
    def num_bytes(self) -> int:
        """Of all weights."""
        return sum(array.nbytes for array in self.state.values())

    @classmethod
    def load(cls, encoder: str) -> Self:
        """Read an encoder.

        Raises:
            UsageError: it cannot be found (see `resolve_encoder`), or its weights do not fit its
                config.json.
        """
        folder = resolve_encoder(encoder)
        with quiet(), seeded(0, torch.device("cpu")):
            try:
                bert, info = BertModel.from_pretrained(
                    folder,
                    local_files_only=True,
                    weights_only=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
            except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
                # its own text may advise to unpickle the file freely
                raise UsageError(
                    f"encoder '{encoder}' cannot be read: the weights in {folder} are damaged or "
                    f"do not fit config.json ({type(error).__name__})"
                ) from error
        missing = tuple(sorted(info["missing_keys"]))
        lost = [name for name in missing if not name.startswith("pooler.")]
        if lost:
            raise UsageError(
                f"encoder '{encoder}' is incomplete: the weights in {folder} lack {lost[0]} and "
                f"{len(lost) - 1} more"
            )
        state = {name: parameter.detach().numpy() for name, parameter in bert.named_parameters()}
        return cls(encoder=encoder, config=bert.config, state=state, missing=missing)


def build_model(
    pristine: PristineWeights,
    config: TrialConfig,
    label_names: Sequence[str],
    device: torch.device,
    *,
    reuse: nn.Module | None = None,
) -> BertForSequenceClassification:
    """The model of a new trial: pristine encoder, head drawn from `config.seed`.

    Args:
        pristine: the encoder's weights.
        config: `seed`, `dropout` and `attention_dropout` are read.
        label_names: the L labels, kept in the model's config.
        device: where the model shall be.
        reuse: a model of an earlier trial; it is overwritten in place where it fits.
    """
    if isinstance(reuse, BertForSequenceClassification) and _fits(
        reuse, pristine, label_names, device
    ):
        model = reuse
    else:
        model = _new_model(pristine, label_names).to(device)
    _set_dropout(model, hidden=config.dropout, attention=config.attention_dropout)
    _copy_weights(model, pristine, seed=config.seed)
    model.zero_grad(set_to_none=True)
    return model


def build_bert(pristine: PristineWeights, device: torch.device) -> BertModel:
    """The encoder alone, without its pooler, for features: pristine weights, no dropout."""
    with seeded(0, torch.device("cpu")):  # its random weights are overwritten
        bert = BertModel(
            BertConfig.from_dict(pristine.config.to_dict(), attn_implementation="sdpa"),
            add_pooling_layer=False,
        )
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            parameter.copy_(_tensor(pristine.state[name]))
    return bert.eval().to(device)


def classify(
    model: BertForSequenceClassification, ids_BT: Tensor, mask_B11T: Tensor | None
) -> Tensor:
    """Logits [B, L] float32.

    The head computes in float32 under any autocast: bfloat16 logits have 8 bits, too few to tell
    thresholds 0.01 apart.
    """
    pooled_BH = model.bert(input_ids=ids_BT, attention_mask=mask_B11T).pooler_output
    with torch.autocast(ids_BT.device.type, enabled=False):
        return model.classifier(model.dropout(pooled_BH.float()))


def label_settings(label_names: Sequence[str]) -> dict[str, Any]:
    """What a transformers config says of the labels."""
    return {
        "id2label": dict(enumerate(label_names)),
        "label2id": {name: label for label, name in enumerate(label_names)},
        "problem_type": "multi_label_classification",
    }


def _new_model(
    pristine: PristineWeights, label_names: Sequence[str]
) -> BertForSequenceClassification:
    settings = {
        **pristine.config.to_dict(),
        **label_settings(label_names),
        "classifier_dropout": None,  # as `hidden_dropout_prob`
    }
    config = BertConfig.from_dict(settings, attn_implementation="sdpa")
    with seeded(0, torch.device("cpu")):  # its random weights are overwritten
        return BertForSequenceClassification(config)


def _fits(
    model: BertForSequenceClassification,
    pristine: PristineWeights,
    label_names: Sequence[str],
    device: torch.device,
) -> bool:
    shapes = {name: parameter.shape for name, parameter in model.bert.named_parameters()}
    return (
        [model.config.id2label[label] for label in range(model.config.num_labels)]
        == list(label_names)
        and shapes == {name: array.shape for name, array in pristine.state.items()}
        and model.device.type == device.type
    )


def _set_dropout(model: BertForSequenceClassification, *, hidden: float, attention: float) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = attention if name.endswith("attention.self.dropout") else hidden
    model.config.hidden_dropout_prob = hidden
    model.config.attention_probs_dropout_prob = attention


@torch.no_grad()
def _copy_weights(
    model: BertForSequenceClassification, pristine: PristineWeights, *, seed: int
) -> None:
    for name, parameter in model.bert.named_parameters():
        if name not in pristine.missing:
            parameter.copy_(_tensor(pristine.state[name]))
    # drawn on the CPU: the same head on any device
    generator = torch.Generator().manual_seed(_head_seed(seed))
    fresh = [model.bert.get_parameter(name) for name in pristine.missing]
    for parameter in (*fresh, model.classifier.weight, model.classifier.bias):
        if parameter.ndim == 1:
            parameter.zero_()
        else:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * model.config.initializer_range)


def _tensor(array: npt.NDArray[np.float32]) -> Tensor:
    """`array` as a tensor to read; torch warns of those that nobody may write to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _head_seed(seed: int) -> int:
    # mixed, so that neighbouring seeds, or the seed of the document order, do not share a stream
    return int(np.random.SeedSequence([seed, 0x4EAD]).generate_state(1)[0])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Transformers without progress bars and without remarks on what is meant to be so."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
