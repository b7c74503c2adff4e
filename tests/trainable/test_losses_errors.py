"""What `build_loss` refuses, with the text of every message."""

import itertools
import math

import pytest

from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES
from trainable.errors import UsageError
from trainable.losses import LOSSES, build_loss

PAPER = {**PAPER_LOSS_VALUES, "mu": 0.9}
COUNTS = [600, 250, 40, 8, 1]
N = 1000


def values_for(name):
    return {key: PAPER[key] for key in LOSS_HYPERPARAMETERS[name]}


@pytest.mark.parametrize(
    ("name", "hyperparameter"),
    [(n, h) for n, h in itertools.product(LOSSES, PAPER) if h not in LOSS_HYPERPARAMETERS[n]],
)
def test_unused_hyperparameter_is_an_error(name, hyperparameter):
    uses = ", ".join(LOSS_HYPERPARAMETERS[name]) or "none"
    with pytest.raises(UsageError) as caught:
        build_loss(
            name,
            label_counts=COUNTS,
            num_examples=N,
            **{**values_for(name), hyperparameter: 0.5},
        )
    assert str(caught.value) == (
        f"loss '{name}' has no hyperparameter '{hyperparameter}': "
        f"its formula uses {uses}; leave '{hyperparameter}' out"
    )


@pytest.mark.parametrize("name", ["r-fl", "db-0fl", "db"])
def test_missing_mu_says_what_to_do(name):
    for mu in ({}, {"mu": None}):
        with pytest.raises(UsageError) as caught:
            build_loss(name, label_counts=COUNTS, num_examples=N, **mu)
        assert str(caught.value) == (
            f"loss '{name}' needs 'mu', which depends on the data: "
            "pass the mu_estimate of trainable.label_stats.label_stats (Reuters: 0.906)"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "bd"}, "unknown loss 'bd': did you mean 'db'? Allowed: "),
        ({"formula": "papers"}, "unknown loss formula 'papers': did you mean 'paper'? Allowed: "),
        ({"gama": 1.0}, "unknown loss hyperparameter 'gama': did you mean 'gamma'? Allowed: "),
        ({"gamma": -0.1}, "loss hyperparameter 'gamma' must lie in [0, 20], got -0.1"),
        ({"lambda_": 0.0}, "loss hyperparameter 'lambda_' must lie in (0, 100], got 0.0"),
        ({"mu": math.nan}, "loss hyperparameter 'mu' must lie in [0, 1], got nan"),
        ({"alpha": "big"}, "loss hyperparameter 'alpha' must be a number, got 'big'"),
        ({"num_examples": 1}, "a loss needs at least 2 training documents to count labels in, "),
        ({"label_counts": [[1]]}, "label_counts must be one number per label, got shape (1, 1)"),
        ({"label_counts": []}, "label_counts must be one number per label, got shape (0,)"),
        ({"label_counts": [1, -2]}, "label_counts must lie in [0, 1000], the number of training "),
        ({"label_counts": [1, 1001]}, "documents, got 1001 for label 1"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments, message):
    with pytest.raises(UsageError) as caught:
        build_loss(
            **{
                "name": "db",
                "label_counts": COUNTS,
                "num_examples": N,
                **values_for("db"),
                **arguments,
            }
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
