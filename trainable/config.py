"""The complete configuration of one trial: frozen, checked when built, never assigned.

Imports no torch: the command line and the spaces read it too. Defaults are the settings of
Huang et al. 2021 (appendix A.1 and the released code); sources in docs/losses.md.
"""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Self

from trainable.errors import UsageError, unknown_name
from trainable.objectives import scores_of

LOSS_HYPERPARAMETERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "bce": (),
        "fl": ("gamma",),
        "cb": ("gamma", "cb_beta"),
        "r-fl": ("gamma", "alpha", "beta", "mu"),
        "ntr-fl": ("gamma", "kappa", "lambda_"),
        "db-0fl": ("alpha", "beta", "mu", "kappa", "lambda_"),
        "cb-ntr": ("gamma", "cb_beta", "kappa", "lambda_"),
        "db": ("gamma", "alpha", "beta", "mu", "kappa", "lambda_"),
    }
)
"""The hyperparameters in the formula of each loss (Huang et al. 2021, section 2)."""

PAPER_LOSS_VALUES: Final[Mapping[str, float]] = MappingProxyType(
    {"gamma": 2.0, "cb_beta": 0.9, "alpha": 0.1, "beta": 10.0, "kappa": 0.05, "lambda_": 2.0}
)
"""The paper's values. `mu` is absent: it is estimated from the data (DESIGN D3)."""

OBJECTIVE: Final = "val/objective"
"""What a trial is judged by: `TrialConfig.objective` of the validation documents, by default their
micro-F1, at the single threshold where it is highest."""

BEST_OBJECTIVE: Final = "best/objective"
"""The objective of the best epoch so far: the one number that ASHA, Optuna, the summary, the
export and the retraining use (DESIGN D6)."""

LOSS_FORMULAS: Final = ("released", "paper")
TUNE: Final = ("all", "head")
HEAD_HIDDEN: Final = 512
"""Units of the head's hidden layer where nobody says otherwise."""
LR_SCHEDULES: Final = ("constant", "linear")
PRECISIONS: Final = ("auto", "fp32", "bf16")

# name -> (low, high, low is allowed, high is allowed)
_RANGES: Final[Mapping[str, tuple[float, float, bool, bool]]] = MappingProxyType(
    {
        "learning_rate": (0.0, 1.0, False, True),
        "weight_decay": (0.0, 1.0, True, True),
        "warmup_fraction": (0.0, 1.0, True, False),
        "dropout": (0.0, 1.0, True, False),
        "attention_dropout": (0.0, 1.0, True, False),
        "max_grad_norm": (0.0, math.inf, True, False),
        "gamma": (0.0, 20.0, True, True),
        "cb_beta": (0.0, 1.0, True, False),
        "alpha": (0.0, 10.0, True, True),
        "beta": (0.0, 1000.0, False, True),
        "mu": (0.0, 1.0, True, True),
        "kappa": (0.0, 10.0, True, True),
        "lambda_": (0.0, 100.0, False, True),
        "batch_size": (1, 4096, True, True),
        "epochs": (1, 10_000, True, True),
        "max_length": (3, 8192, True, True),
        "max_train_docs": (1, math.inf, True, False),
        "max_val_docs": (1, math.inf, True, False),
        "max_test_docs": (1, math.inf, True, False),
        "num_threads": (0, 4096, True, True),
        "head_hidden": (0, 65_536, True, True),
        "seed": (0, 2**32 - 1, True, True),
        "split_seed": (0, 2**32 - 1, True, True),
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """Everything that decides the outcome of one trial.

    Raises:
        UsageError: an unknown loss, a value out of its range, or a loss hyperparameter that the
            loss does not use.
    """

    dataset: str = "reuters"
    """Name of a registered dataset; `file`: the user's own, at `data_path`."""
    data_path: str | None = None
    """Where the dataset lies (absolute), when it is not in the cache."""
    split_seed: int = 123
    """Seed of the train/validation split (the paper's: 123)."""
    max_train_docs: int | None = None
    """At most so many training documents, each label kept; None: all."""
    max_val_docs: int | None = None
    """At most so many validation documents; None: all."""
    max_test_docs: int | None = None
    """At most so many test documents; None: all."""

    text_column: str = "text"
    """Own data: name of the column (JSON key) that holds the text."""
    labels_column: str = "labels"
    """Own data: name of the column that holds the labels."""
    split_column: str = "split"
    """Own data: name of the optional column with train, val or test."""
    label_separator: str = ";"
    """Own data: between the labels of a CSV cell."""

    encoder: str = "bert-base-cased"
    """A Hugging Face name, a folder, or `minilm` (the packaged encoder)."""
    max_length: int = 512
    """Word pieces kept of a document, [CLS] and [SEP] included."""
    tune: str = "all"
    """`all`: encoder and classifier; `head`: a small head over features of the frozen encoder."""
    head_hidden: int | None = None
    """`tune=head`: units of the head's hidden layer, 0 for a linear head. None: `HEAD_HIDDEN`."""
    dropout: float = 0.1
    """Of hidden states and before the classifier; `tune=head`: of features and hidden layer."""
    attention_dropout: float = 0.1
    """Of attention probabilities."""

    loss: str = "db"
    """One of `LOSS_HYPERPARAMETERS`."""
    loss_formula: str = "released"
    """`released`: the authors' code, behind the published table; `paper`: the printed formula."""
    gamma: float | None = None
    """Focal exponent. None on this and the next six: the paper's value if the loss uses it."""
    cb_beta: float | None = None
    """Class-balanced effective-number base."""
    alpha: float | None = None
    """Rebalanced weight: additive lift."""
    beta: float | None = None
    """Rebalanced weight: slope of the sigmoid."""
    mu: float | None = None
    """Rebalanced weight: centre of the sigmoid. None: estimated from the training labels."""
    kappa: float | None = None
    """Negative-tolerant shift: scale of the class-specific bias."""
    lambda_: float | None = None
    """Negative-tolerant shift: scale of negative logits."""

    objective: str = "micro_f1"
    """What chooses the best epoch and the threshold: micro_f1, macro_f1, tail_micro_f1, several of
    them joined by `+` for their mean, or `mean` for that of all three (`trainable.objectives`)."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW."""
    batch_size: int = 32
    """Documents per optimiser step."""
    epochs: int = 40
    """Longest training, and the horizon of the learning-rate schedule."""
    weight_decay: float = 0.01
    """Decoupled weight decay; biases and LayerNorm excluded."""
    warmup_fraction: float = 0.0
    """Share of all steps spent on linear warm-up."""
    lr_schedule: str = "constant"
    """`constant` or `linear` (to zero at `epochs`), after the warm-up."""
    max_grad_norm: float = 0.0
    """Gradient clipping by global norm; 0: none, as in the released code."""

    precision: str = "auto"
    """`bf16` (autocast, float32 masters), `fp32`, or `auto`: bf16 where the hardware has it."""
    num_threads: int = 0
    """CPU threads of torch; 0: leave as set. Part of the config: it changes rounding."""
    seed: int = 0
    """Seeds the new head, the document order and dropout."""

    def __post_init__(self) -> None:
        _check_choice("loss", self.loss, LOSS_HYPERPARAMETERS)
        _check_choice("loss_formula", self.loss_formula, LOSS_FORMULAS)
        _check_choice("tune", self.tune, TUNE)
        _check_choice("lr_schedule", self.lr_schedule, LR_SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        scores_of(self.objective)
        used = LOSS_HYPERPARAMETERS[self.loss]
        for name in (*PAPER_LOSS_VALUES, "mu"):
            if name not in used and getattr(self, name) is not None:
                raise UsageError(
                    f"loss '{self.loss}' has no hyperparameter '{name}': "
                    f"its formula uses {', '.join(used) or 'none'}; leave '{name}' out"
                )
        for name in used:
            if getattr(self, name) is None and name != "mu":
                object.__setattr__(self, name, PAPER_LOSS_VALUES[name])
        self._settle_head()

    def _settle_head(self) -> None:
        if self.tune == "head" and self.head_hidden is None:
            object.__setattr__(self, "head_hidden", HEAD_HIDDEN)
        if self.tune != "head" and self.head_hidden is not None:
            raise UsageError(
                f"setting 'head_hidden' is of tune=head, and tune is '{self.tune}': leave it out"
            )

    @property
    def loss_hyperparameters(self) -> dict[str, float | None]:
        """The hyperparameters of this trial's loss; `mu` is None until it is estimated."""
        return {name: getattr(self, name) for name in LOSS_HYPERPARAMETERS[self.loss]}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; an unknown key is an error that names the nearest allowed one."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise unknown_name("setting", key, names)
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """All fields but those that are None, in the order of declaration."""
        pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in pairs if value is not None}

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked anew."""
        return self.from_mapping({**self.to_mapping(), **changes})


def setting_names() -> tuple[str, ...]:
    """The names of all settings of a trial, in the order of declaration."""
    return tuple(field.name for field in dataclasses.fields(TrialConfig))


def parse_setting(name: str, text: str) -> Any:
    """Turn the text of `--set name=value` into the type of that setting.

    >>> parse_setting("batch_size", "16"), parse_setting("dropout", "0.2")
    (16, 0.2)
    """
    fields = {field.name: field for field in dataclasses.fields(TrialConfig)}
    if name not in fields:
        raise unknown_name("setting", name, fields)
    kind = _kind(fields[name])
    if text.lower() in {"none", "null"} and "None" in str(fields[name].type):
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(
            f"setting '{name}' must be of type {kind.__name__}, got '{text}'"
        ) from None


def setting_range(name: str) -> tuple[float, float, bool, bool] | None:
    """`(low, high, low_allowed, high_allowed)` of a numeric setting; None where it has none."""
    return _RANGES.get(name)


def _kind(field: dataclasses.Field[Any]) -> type:
    annotation = str(field.type)
    for kind in (int, float, str):
        if kind.__name__ in annotation:
            return kind
    raise AssertionError(f"no plain type in the annotation of {field.name}: {annotation}")


def _check_choice(kind: str, value: object, allowed: Any) -> None:
    if value not in tuple(allowed):
        raise unknown_name(kind, value, allowed)


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    name, kind = field.name, _kind(field)
    if value is None:
        if "None" in str(field.type):
            return
        raise UsageError(f"setting '{name}' must be of type {kind.__name__}, got none")
    right = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not right or isinstance(value, bool):
        raise UsageError(f"setting '{name}' must be of type {kind.__name__}, got {value!r}")
    if name not in _RANGES:
        return
    low, high, low_in, high_in = _RANGES[name]
    above = value >= low if low_in else value > low
    below = value <= high if high_in else value < high
    if not (above and below):
        left, right_bracket = "[" if low_in else "(", "]" if high_in else ")"
        raise UsageError(
            f"setting '{name}' must lie in {left}{low:g}, {high:g}{right_bracket}, got {value!r}"
        )
