"""A model folder read back, with this program's classes: nothing in it is run or unpickled.

The weights are safetensors, everything else is JSON, YAML or text. The folder's own `head_model.py`
is for transformers; here `trainable.head_model` is meant (transformers' `trust_remote_code` would
run the copy).
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from trainable.best import BestConfig
from trainable.device import seeded
from trainable.errors import UsageError, first_line
from trainable.head_model import HeadConfig, HeadModel
from trainable.model import quiet
from trainable.paths import expand, is_folder
from trainable.tokenization import TextReader

CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"
_NEEDED: Final = (CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json", "tokenizer_config.json", "best.yaml")
_KINDS: Final[dict[str, tuple[type[BertConfig], type[PreTrainedModel]]]] = {
    BertForSequenceClassification.__name__: (BertConfig, BertForSequenceClassification),
    HeadModel.__name__: (HeadConfig, HeadModel),
}
"""By what config.json says of its architecture."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SavedModel:
    """What a model folder holds. Shapes: L labels."""

    model: BertForSequenceClassification | HeadModel
    """On the CPU, float32, in evaluation mode."""
    reader: TextReader
    label_names: tuple[str, ...]
    """[L]"""
    thresholds: tuple[float, ...]
    """[L] each in (0, 1): a label is given where its probability is at least this."""
    precision: str
    """The setting it was trained with: `auto`, `bf16` or `fp32`."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder that `python -m trainable BEST.YAML --out MODEL` wrote.

        Raises:
            UsageError: no such folder, not one of ours, or a file in it is damaged.
        """
        if not is_folder(path, "MODEL"):
            what = "is a file" if expand(path, "MODEL").exists() else "does not exist"
            raise UsageError(
                f"model folder '{path}' {what}: give one that `python -m trainable BEST.YAML --out "
                "MODEL` wrote"
            )
        folder = expand(path, "MODEL")
        values = _read_config(folder)
        names = _label_names(folder, values)
        model = _read_model(folder, values)
        with quiet():  # a head's type is not among its own
            reader = TextReader.load(folder)
        positions = model.config.max_position_embeddings
        if not 3 <= reader.max_length <= positions:
            raise _damaged(
                folder,
                f"tokenizer_config.json must hold model_max_length in 3..{positions}, got "
                f"{reader.max_length}",
            )
        return cls(
            model=model,
            reader=reader,
            label_names=names,
            thresholds=_thresholds(folder, values, len(names)),
            precision=BestConfig.load(folder / "best.yaml").config.precision,
        )


def _read_config(folder: Path) -> dict[str, Any]:
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise UsageError(
                f"'{folder}' is not a model folder of `python -m trainable BEST.YAML --out MODEL`: "
                f"it has no {name}"
            )
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, f"{CONFIG_FILE} is not JSON ({first_line(error)})") from None
    kinds = values.get("architectures") if isinstance(values, dict) else None
    if not isinstance(kinds, list) or len(kinds) != 1 or kinds[0] not in _KINDS:
        raise UsageError(
            f"'{folder}' is not a model of this program: {CONFIG_FILE} must name the architecture "
            f"{' or '.join(_KINDS)}, got {kinds!r}"
        )
    return values


def _label_names(folder: Path, values: dict[str, Any]) -> tuple[str, ...]:
    names = values.get("id2label")
    if isinstance(names, dict) and names:
        found = [names.get(str(label)) for label in range(len(names))]
        if all(isinstance(name, str) for name in found) and len(set(found)) == len(found):
            return tuple(str(name) for name in found)
    raise _damaged(folder, f"{CONFIG_FILE} must hold id2label, distinct names for '0', '1', ...")


def _thresholds(folder: Path, values: dict[str, Any], num_labels: int) -> tuple[float, ...]:
    """One of each label: `thresholds` where the folder has them, else `threshold` for all."""
    found = values.get("thresholds")
    if found is None:
        found = [values.get("threshold")] * num_labels
    valid = isinstance(found, list) and len(found) == num_labels
    if not valid or not all(isinstance(t, float) and 0 < t < 1 for t in found):
        raise _damaged(
            folder,
            f"{CONFIG_FILE} must hold threshold in (0, 1), or thresholds: {num_labels} of them",
        )
    return tuple(found)


def _read_model(folder: Path, values: dict[str, Any]) -> BertForSequenceClassification | HeadModel:
    config_class, model_class = _KINDS[values["architectures"][0]]
    try:
        config = config_class.from_dict(values, attn_implementation="sdpa")
        with seeded(0, torch.device("cpu")):  # its random weights are overwritten
            model = model_class(config)
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except OSError as error:
        raise UsageError(f"{folder / WEIGHTS_FILE}: cannot be read ({error.strerror})") from None
    except Exception as error:
        # safetensors, torch and transformers each have errors of their own
        kind = "is damaged" if isinstance(error, SafetensorError) else "does not fit config.json"
        raise _damaged(folder, f"{WEIGHTS_FILE} {kind} ({first_line(error)})") from error
    return model.float().eval()


def _damaged(folder: Path, problem: str) -> UsageError:
    return UsageError(f"model folder '{folder}' is damaged: {problem}; train it again")
