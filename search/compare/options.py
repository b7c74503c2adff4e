"""The options of `python -m search compare`. Imports nothing heavy."""

from typing import Any

from search.option_groups import (
    add_addresses,
    add_confirm,
    add_resources,
    add_runs_dir,
    add_training,
    add_trials,
)
from search.option_values import whole


def add_compare(commands: Any) -> None:
    """Add the command to the parser of all commands."""
    compare = commands.add_parser(
        "compare",
        help="search several losses under one budget and write the paper's tables again",
        description="Search several losses under one budget, one after the other, or gather "
        "searches that there are, and write the paper's tables again, with intervals. The same "
        "command again goes on where it was interrupted.",
    )
    compare.add_argument(
        "--losses", metavar="LOSSES", help="all, or some of them with commas between"
    )
    compare.add_argument(
        "--gather", nargs="+", default=[], metavar="NAME", help="existing searches instead"
    )
    compare.add_argument(
        "--name", help="of the comparison; its searches are NAME-LOSS (default: the dataset's)"
    )
    compare.add_argument(
        "--out", metavar="FILE", help="a copy of the tables as Markdown, .csv or .json"
    )
    add_runs_dir(compare)
    add_training(compare.add_argument_group("what to train"))
    how = compare.add_argument_group("how to search, for each loss")
    add_trials(how)
    add_confirm(how)
    how.add_argument("--seed", type=whole, metavar="N", help="of the sampler and of training")
    where = compare.add_argument_group("where to run")
    add_resources(where)
    add_addresses(where)
