"""Options in groups: what to train, how to search, where to run. Imports nothing heavy.

Parts of them are options of other commands than `run`, too.
"""

from typing import Any, Final

from search.option_values import gib, number, seconds, whole

LOSSES: Final = (
    "bce fl cb r-fl ntr-fl db-0fl cb-ntr db (default: db); auto, or several with commas between: "
    "the loss is searched, too"
)


def add_what(what: Any) -> None:
    """Loss, data, encoder and training."""
    what.add_argument("--loss", help=LOSSES)
    add_training(what)
    what.add_argument("--space", metavar="FILE", help="YAML file with ranges to search")


def add_training(what: Any) -> None:
    """Data, encoder and training."""
    add_data_options(what)
    what.add_argument("--tune", help="all: the whole encoder; head: a head on frozen features")
    what.add_argument("--preset", default="auto", help="auto, paper, cpu, cpu-full or smoke")
    what.add_argument("--epochs", type=whole, metavar="N", help="longest training of a trial")
    what.add_argument("--precision", help="auto (default), bf16 or fp32")
    add_settings(what)


def add_how(how: Any) -> None:
    """Trials, ASHA, objective, sampler, budgets, first points, confirmation."""
    add_trials(how)
    how.add_argument(
        "--point",
        dest="points",
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file with settings to try right after the paper's; repeatable",
    )
    how.add_argument(
        "--start-from", metavar="NAME", help="first points: the best of an earlier search"
    )
    add_warm_start(how)
    add_confirm(how)
    how.add_argument("--seed", type=whole, metavar="N", help="of the sampler and of training")


def add_trials(how: Any) -> None:
    """Trials, ASHA, objective, sampler, budgets."""
    how.add_argument("--trials", type=whole, metavar="N", help="the paper's values included")
    how.add_argument("--grace-period", type=whole, metavar="N", help="epochs before ASHA stops")
    how.add_argument("--reduction-factor", type=whole, metavar="N", help="ASHA keeps 1 of N")
    how.add_argument(
        "--objective",
        metavar="SCORE",
        help="micro_f1 (default), macro_f1, tail_micro_f1, a+b or mean; a,b: a Pareto front",
    )
    how.add_argument(
        "--sampler", metavar="NAME", help="tpe (default), random, gp, or hub:NAME of OptunaHub"
    )
    add_budgets(how)


def add_warm_start(how: Any) -> None:
    """Earlier searches for the sampler."""
    how.add_argument(
        "--warm-start",
        action="append",
        default=[],
        metavar="NAME",
        help="the sampler knows the trials of an earlier search on these data, without trying them "
        "again as --start-from does; repeatable",
    )


def add_where(where: Any) -> None:
    """Resources, cluster, study, folder and tracking."""
    add_resources(where)
    add_addresses(where)
    add_endurance(where)
    where.add_argument("--name", help="of the search (default: LOSS-DATASET-TIME)")
    add_runs_dir(where)


def add_addresses(where: Any) -> None:
    """Cluster, study and tracking, where they are not on this machine."""
    where.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    where.add_argument(
        "--storage", metavar="URL", help="database of the study (default: SQLite in its folder)"
    )
    where.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: in the runs folder)")


def add_resources(where: Any) -> None:
    """What a trial takes of the machine."""
    where.add_argument("--cpus-per-trial", type=number, metavar="X", help="CPU cores of a trial")
    where.add_argument("--gpus-per-trial", type=number, metavar="X", help="may be a fraction")
    where.add_argument("--max-concurrent", type=whole, metavar="N", help="trials at once")
    where.add_argument(
        "--checkpoint-every",
        type=whole,
        metavar="N",
        help="epochs; an interrupted trial goes on from there (0: from its first epoch)",
    )


def add_ahead(ahead: Any) -> None:
    """What is told instead of done."""
    ahead.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, measure a few steps, tell time, memory and disk; write nothing",
    )
    ahead.add_argument("--json", action="store_true", help="with --dry-run: print JSON")


def add_data_options(group: Any) -> None:
    """Which documents, and whose word pieces."""
    group.add_argument("--dataset", help="reuters, demo or file (default: reuters)")
    group.add_argument("--data", metavar="PATH", help="where the dataset lies, or your own file")
    group.add_argument("--encoder", help="Hugging Face name, folder, or minilm (packaged)")
    group.add_argument("--split-seed", type=whole, metavar="N", help="of train and validation")
    group.add_argument("--max-train-docs", type=whole, metavar="N", help="thin the training set")


def add_budgets(group: Any) -> None:
    """What ends a search."""
    group.add_argument(
        "--time-budget", type=seconds, metavar="T", help="of an attempt: seconds, or 30m, 2h"
    )
    group.add_argument(
        "--compute-budget",
        type=seconds,
        metavar="T",
        help="of all trials together: with one GPU a trial, GPU hours",
    )
    group.add_argument(
        "--disk-budget", type=gib, metavar="SIZE", help="of the search folder: GiB, or 500M, 2G"
    )
    group.add_argument(
        "--patience", type=whole, metavar="N", help="stop after N trials without a better best"
    )


def add_settings(group: Any) -> None:
    """Any setting of a trial."""
    group.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fix any setting of a trial; repeatable",
    )


def add_confirm(group: Any) -> None:
    """Other seeds for the best."""
    group.add_argument(
        "--confirm",
        type=whole,
        metavar="K",
        help="train the best K and the paper's values again, choose on the mean (0: do not)",
    )
    group.add_argument(
        "--seeds", type=whole, metavar="S", help="... with S other seeds each (default: 3)"
    )


def add_endurance(group: Any) -> None:
    """What is done about a search that dies or hangs."""
    group.add_argument(
        "--restart", type=whole, metavar="N", help="resume up to N times if it dies or fails"
    )
    group.add_argument(
        "--hang-timeout",
        type=seconds,
        metavar="T",
        help="a search that nothing is heard of for so long has hung; 0: never "
        "(default: 20 epochs, at least 10m)",
    )


def add_runs_dir(group: Any) -> None:
    """The folder of all searches."""
    group.add_argument("--runs-dir", default="runs", metavar="DIR", help="default: ./runs")
