"""The options of every command. Imports nothing heavy: `--help` must not wait for torch or Ray."""

import argparse
from typing import Any, NoReturn

from search.baseline.options import add_baseline
from search.option_values import gib, nearest_command, number, seconds, whole
from trainable.errors import UsageError


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="python -m search",
        description="Search hyperparameters of BERT on long-tailed multi-label text.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for add in (_add_run, _add_resume, _add_list, _add_show, _add_stop):
        add(commands)
    for add in (_add_data, _add_space, _add_export, _add_report, add_baseline, _add_sync):
        add(commands)
    return parser


def option_strings() -> dict[str, tuple[str, ...]]:
    """Every command's options and positional names: the surface that users rely on."""
    return {
        name: tuple(
            text for action in parser._actions for text in (action.option_strings or [action.dest])
        )
        for name, parser in parsers_of(build_parser()).items()
    }


def parsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices)


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing usage and exiting."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{nearest_command(message)}; see `{self.prog} --help`")


def _add_run(commands: Any) -> None:
    run = _add(commands, "run", "search, log, evaluate and export")
    _add_what(run.add_argument_group("what to train"))
    _add_how(run.add_argument_group("how to search"))
    _add_where(run.add_argument_group("where to run"))
    _add_ahead(run.add_argument_group("what would happen"))


def _add_what(what: Any) -> None:
    what.add_argument("--loss", help="bce fl cb r-fl ntr-fl db-0fl cb-ntr db (default: db)")
    _add_data_options(what)
    what.add_argument("--tune", help="all: the whole encoder; head: a head on frozen features")
    what.add_argument("--preset", default="auto", help="auto, paper, cpu, cpu-full or smoke")
    what.add_argument("--epochs", type=whole, metavar="N", help="longest training of a trial")
    what.add_argument("--precision", help="auto (default), bf16 or fp32")
    _add_settings(what)
    what.add_argument("--space", metavar="FILE", help="YAML file with ranges to search")


def _add_how(how: Any) -> None:
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
    _add_budgets(how)
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
    _add_warm_start(how)
    _add_confirm(how)
    how.add_argument("--seed", type=whole, metavar="N", help="of the sampler and of training")


def _add_warm_start(how: Any) -> None:
    how.add_argument(
        "--warm-start",
        action="append",
        default=[],
        metavar="NAME",
        help="the sampler knows the trials of an earlier search on these data, without trying them "
        "again as --start-from does; repeatable",
    )


def _add_where(where: Any) -> None:
    where.add_argument("--cpus-per-trial", type=number, metavar="X", help="CPU cores of a trial")
    where.add_argument("--gpus-per-trial", type=number, metavar="X", help="may be a fraction")
    where.add_argument("--max-concurrent", type=whole, metavar="N", help="trials at once")
    where.add_argument(
        "--checkpoint-every",
        type=whole,
        metavar="N",
        help="epochs; an interrupted trial goes on from there (0: from its first epoch)",
    )
    where.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    where.add_argument(
        "--storage", metavar="URL", help="database of the study (default: SQLite in its folder)"
    )
    _add_endurance(where)
    where.add_argument("--name", help="of the search (default: LOSS-DATASET-TIME)")
    _add_runs_dir(where)
    where.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: in the runs folder)")


def _add_ahead(ahead: Any) -> None:
    ahead.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, measure a few steps, tell time, memory and disk; write nothing",
    )
    ahead.add_argument("--json", action="store_true", help="with --dry-run: print JSON")


def _add_resume(commands: Any) -> None:
    resume = _add(commands, "resume", "continue a search that was interrupted, or extend one")
    resume.add_argument("name", metavar="NAME", help="of the search")
    more = resume.add_mutually_exclusive_group()
    more.add_argument("--trials", type=whole, metavar="N", help="new total of trials")
    more.add_argument(
        "--add-trials", type=whole, metavar="N", help="N trials more than the search has now"
    )
    _add_budgets(resume)
    _add_confirm(resume)
    resume.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on though code, versions or spec.yaml are not as they were",
    )
    resume.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    resume.add_argument("--storage", metavar="URL", help="of the study, with its password")
    resume.add_argument("--tracking-uri", metavar="URI", help="MLflow, if not where it was")
    _add_endurance(resume)
    _add_runs_dir(resume)


def _add_list(commands: Any) -> None:
    listing = _add(commands, "list", "list the searches, newest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    _add_runs_dir(listing)


def _add_show(commands: Any) -> None:
    show = _add(commands, "show", "show a search, also while it runs")
    show.add_argument("name", metavar="NAME", help="of the search")
    show.add_argument("--json", action="store_true", help="print JSON")
    _add_runs_dir(show)


def _add_stop(commands: Any) -> None:
    stop = _add(commands, "stop", "stop a running search, as Ctrl-C does where it runs")
    stop.add_argument("name", metavar="NAME", help="of the search")
    stop.add_argument(
        "--trial", type=whole, metavar="T", help="only this trial, at the end of its epoch"
    )
    _add_runs_dir(stop)


def _add_data(commands: Any) -> None:
    data = _add(commands, "data", "describe a dataset")
    data.add_argument("name", metavar="NAME", help="reuters, demo, file, or a file of your own")
    data.add_argument("--data", metavar="PATH", help="where the dataset lies")
    data.add_argument("--encoder", help="whose tokenizer counts (default: as `run` would choose)")
    data.add_argument("--split-seed", type=whole, metavar="N", help="of train and validation")
    data.add_argument("--max-train-docs", type=whole, metavar="N", help="thin the training set")
    _add_settings(data)
    data.add_argument("--json", action="store_true", help="print JSON")


def _add_space(commands: Any) -> None:
    space = _add(commands, "space", "print what is searched for a loss")
    space.add_argument("--loss", help="bce fl cb r-fl ntr-fl db-0fl cb-ntr db (default: db)")
    space.add_argument("--tune", help="all (default) or head")
    _add_settings(space)
    space.add_argument("--space", metavar="FILE", help="YAML file with ranges to search")


def _add_export(commands: Any) -> None:
    export = _add(commands, "export", "write the best configuration of a search")
    export.add_argument("name", metavar="NAME", help="of the search")
    export.add_argument("--trial", type=whole, metavar="N", help="another one than the best")
    export.add_argument("-o", "--output", default="best.yaml", metavar="FILE")
    _add_runs_dir(export)


def _add_sync(commands: Any) -> None:
    sync = _add(commands, "sync", "send MLflow what it has not recorded of a search")
    sync.add_argument("name", metavar="NAME", nargs="?", help="of the search")
    sync.add_argument("--all", action="store_true", help="every search of the runs folder")
    sync.add_argument("--tracking-uri", metavar="URI", help="MLflow, if not where it was")
    sync.add_argument("--json", action="store_true", help="print JSON, a line a search")
    _add_runs_dir(sync)


def _add_report(commands: Any) -> None:
    report = _add(commands, "report", "write the report of a search: one HTML file")
    report.add_argument("name", metavar="NAME", help="of the search, running or not")
    report.add_argument("-o", "--output", metavar="FILE", help="default: report.html beside it")
    _add_runs_dir(report)


def _add_data_options(group: Any) -> None:
    group.add_argument("--dataset", help="reuters, demo or file (default: reuters)")
    group.add_argument("--data", metavar="PATH", help="where the dataset lies, or your own file")
    group.add_argument("--encoder", help="Hugging Face name, folder, or minilm (packaged)")
    group.add_argument("--split-seed", type=whole, metavar="N", help="of train and validation")
    group.add_argument("--max-train-docs", type=whole, metavar="N", help="thin the training set")


def _add_budgets(group: Any) -> None:
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


def _add_settings(group: Any) -> None:
    group.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fix any setting of a trial; repeatable",
    )


def _add_confirm(group: Any) -> None:
    group.add_argument(
        "--confirm",
        type=whole,
        metavar="K",
        help="train the best K and the paper's values again, choose on the mean (0: do not)",
    )
    group.add_argument(
        "--seeds", type=whole, metavar="S", help="... with S other seeds each (default: 3)"
    )


def _add_endurance(group: Any) -> None:
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


def _add_runs_dir(group: Any) -> None:
    group.add_argument("--runs-dir", default="runs", metavar="DIR", help="default: ./runs")


def _add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
