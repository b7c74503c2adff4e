"""--loss auto, or a list of losses: the loss itself is searched, as a choice, in one space.

A hyperparameter is asked for where the drawn loss has it in its formula. Losses share it, by name:
its meaning and its range are the same in each of them, so that what one loss teaches of `kappa` the
others need not learn again. With names of its own for each loss 32 trials would leave a loss four
to learn from. Traded away: a value that is good for one loss alone. Optuna's TPE (`group=True`)
models together only what the same trials have: loss with learning rate, kappa with lambda_.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from spaces.dimension import Dimension
from spaces.ranges import LEARNING_RATES, LOSS_DIMENSIONS, mu_dimension
from spaces.space import AUTO, LOSS, LOSS_SETTINGS, Space, applies
from trainable.config import LOSS_HYPERPARAMETERS
from trainable.errors import UsageError, unknown_name

AUTO_LOSSES: Final = ("db", "cb-ntr", "ntr-fl", "fl", "r-fl", "db-0fl", "cb", "bce")
"""db, then by the paper's micro-F1 on Reuters: a search with fewer trials than losses does not come
to the last ones."""


def parse_losses(text: str) -> tuple[str, ...]:
    """The losses that `--loss TEXT` names: one, several with commas between, or `auto`.

    >>> parse_losses("db"), parse_losses("cb, db")
    (('db',), ('cb', 'db'))

    Raises:
        UsageError: an unknown loss, or one that is named twice.
    """
    if text == AUTO:
        return AUTO_LOSSES
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in LOSS_HYPERPARAMETERS:
            raise unknown_name("loss", name, (*LOSS_HYPERPARAMETERS, AUTO))
    if len(set(names)) < len(names):
        raise UsageError(f"--loss {text} names a loss twice: leave one out")
    return names


def auto_space(losses: Sequence[str], *, mu: float | None, tune: str = "all") -> Space:
    """The space of several losses: which of them, the learning rate, and what their formulas have.

    Args:
        losses: At least two, all different; trial 0 has the first.
        mu: See `space_for`.
        tune: See `space_for`.
    """
    loss = Dimension(
        name=LOSS,
        choices=tuple(losses),
        role="scientific",
        paper=losses[0],
        reason="which balancing helps most on these data; each loss first with the paper's values",
    )
    used = {name for one in losses for name in LOSS_HYPERPARAMETERS[one]}
    own = tuple(
        mu_dimension(mu) if name == "mu" else LOSS_DIMENSIONS[name]
        for name in LOSS_SETTINGS
        if name in used
    )
    return Space(loss=AUTO, dimensions=(loss, LEARNING_RATES[tune], *own))


def split_fixed(
    losses: Sequence[str], said: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a user fixed, apart: hyperparameters of the losses, and all other settings.

    Raises:
        UsageError: a hyperparameter that none of the losses has.
    """
    fixed = {name: value for name, value in said.items() if name in LOSS_SETTINGS}
    for name in fixed:
        if not any(applies(name, loss) for loss in losses):
            raise UsageError(
                f"none of the losses {', '.join(losses)} has a hyperparameter '{name}': "
                "leave it out"
            )
    return fixed, {name: value for name, value in said.items() if name not in fixed}
