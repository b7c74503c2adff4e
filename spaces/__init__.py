"""What is searched for each loss: its learning rate and exactly its own hyperparameters.

space_for("db", mu=0.906)        the default space of a loss
auto_space(["db", "cb"], mu=..)  of several: the loss is searched, too
change_space(space, {...})       other ranges, more settings
fix(space, ["gamma"])            fewer dimensions
space.sample(optuna_trial)       values for one trial
"""

from spaces.auto import AUTO_LOSSES, auto_space, parse_losses, split_fixed
from spaces.changes import change_space, fix
from spaces.dimension import Dimension
from spaces.ranges import HEAD_LEARNING_RATE, LEARNING_RATES, LOSS_DIMENSIONS, mu_dimension
from spaces.space import AUTO, LOSS, LOSS_SETTINGS, Space
from spaces.table import SPACE_COLUMNS, space_rows
from trainable.config import LOSS_HYPERPARAMETERS
from trainable.errors import unknown_name

__all__ = [
    "AUTO",
    "AUTO_LOSSES",
    "HEAD_LEARNING_RATE",
    "LOSS",
    "LOSS_SETTINGS",
    "SPACE_COLUMNS",
    "Dimension",
    "Space",
    "auto_space",
    "change_space",
    "fix",
    "parse_losses",
    "space_for",
    "space_rows",
    "split_fixed",
]


def space_for(loss: str, *, mu: float | None, tune: str = "all") -> Space:
    """The default space of a loss: learning rate (log), and the hyperparameters of its formula.

    Args:
        loss: one of the keys of `LOSS_HYPERPARAMETERS`.
        mu: the estimate of `trainable.label_stats`, in [0, 1]; used by r-fl, db-0fl and db only.
            None, when no data are at hand: the paper's value for Reuters.
        tune: `all` or `head`: a head on frozen features takes higher learning rates.

    Raises:
        UsageError: an unknown loss.
    """
    if loss not in LOSS_HYPERPARAMETERS:
        raise unknown_name("loss", loss, LOSS_HYPERPARAMETERS)
    own = tuple(
        mu_dimension(mu) if name == "mu" else LOSS_DIMENSIONS[name]
        for name in LOSS_HYPERPARAMETERS[loss]
    )
    return Space(loss=loss, dimensions=(LEARNING_RATES[tune], *own))
