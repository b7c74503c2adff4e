"""The options of every command. Imports nothing heavy: `--help` must not wait for torch or Ray."""

import argparse
from typing import Any, NoReturn

from search.baseline.options import add_baseline
from search.compare.options import add_compare
from search.models.options import add_register
from search.option_groups import (
    LOSSES,
    add_ahead,
    add_budgets,
    add_confirm,
    add_endurance,
    add_how,
    add_runs_dir,
    add_settings,
    add_what,
    add_where,
)
from search.option_values import nearest_command, whole
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
    for add in (_add_data, _add_space, _add_export, _add_report, _add_sync):
        add(commands)
    for add in (add_baseline, add_compare, add_register):
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
    add_what(run.add_argument_group("what to train"))
    add_how(run.add_argument_group("how to search"))
    add_where(run.add_argument_group("where to run"))
    add_ahead(run.add_argument_group("what would happen"))


def _add_resume(commands: Any) -> None:
    resume = _add(commands, "resume", "continue a search that was interrupted, or extend one")
    resume.add_argument("name", metavar="NAME", help="of the search")
    more = resume.add_mutually_exclusive_group()
    more.add_argument("--trials", type=whole, metavar="N", help="new total of trials")
    more.add_argument(
        "--add-trials", type=whole, metavar="N", help="N trials more than the search has now"
    )
    add_budgets(resume)
    add_confirm(resume)
    resume.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on though code, versions or spec.yaml are not as they were",
    )
    resume.add_argument(
        "--trust",
        action="store_true",
        help="use the addresses, data and encoder of a search that was started elsewhere",
    )
    resume.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    resume.add_argument("--storage", metavar="URL", help="of the study, with its password")
    resume.add_argument("--tracking-uri", metavar="URI", help="MLflow, if not where it was")
    add_endurance(resume)
    add_runs_dir(resume)


def _add_list(commands: Any) -> None:
    listing = _add(commands, "list", "list the searches, newest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    add_runs_dir(listing)


def _add_show(commands: Any) -> None:
    show = _add(commands, "show", "show a search, also while it runs")
    show.add_argument("name", metavar="NAME", help="of the search")
    show.add_argument("--json", action="store_true", help="print JSON")
    add_runs_dir(show)


def _add_stop(commands: Any) -> None:
    stop = _add(commands, "stop", "stop a running search, as Ctrl-C does where it runs")
    stop.add_argument("name", metavar="NAME", help="of the search")
    stop.add_argument(
        "--trial", type=whole, metavar="T", help="only this trial, at the end of its epoch"
    )
    add_runs_dir(stop)


def _add_data(commands: Any) -> None:
    data = _add(commands, "data", "describe a dataset")
    data.add_argument("name", metavar="NAME", help="reuters, demo, file, or a file of your own")
    data.add_argument("--data", metavar="PATH", help="where the dataset lies")
    data.add_argument("--encoder", help="whose tokenizer counts (default: as `run` would choose)")
    data.add_argument("--split-seed", type=whole, metavar="N", help="of train and validation")
    data.add_argument("--max-train-docs", type=whole, metavar="N", help="thin the training set")
    add_settings(data)
    data.add_argument("--json", action="store_true", help="print JSON")


def _add_space(commands: Any) -> None:
    space = _add(commands, "space", "print what is searched for a loss")
    space.add_argument("--loss", help=LOSSES)
    space.add_argument("--tune", help="all (default) or head")
    add_settings(space)
    space.add_argument("--space", metavar="FILE", help="YAML file with ranges to search")


def _add_export(commands: Any) -> None:
    export = _add(commands, "export", "write the best configuration of a search")
    export.add_argument("name", metavar="NAME", help="of the search")
    export.add_argument("--trial", type=whole, metavar="N", help="another one than the best")
    export.add_argument("-o", "--output", default="best.yaml", metavar="FILE")
    add_runs_dir(export)


def _add_sync(commands: Any) -> None:
    sync = _add(commands, "sync", "send MLflow what it has not recorded of a search")
    sync.add_argument("name", metavar="NAME", nargs="?", help="of the search")
    sync.add_argument("--all", action="store_true", help="every search of the runs folder")
    sync.add_argument("--tracking-uri", metavar="URI", help="MLflow, if not where it was")
    sync.add_argument("--json", action="store_true", help="print JSON, a line a search")
    add_runs_dir(sync)


def _add_report(commands: Any) -> None:
    report = _add(commands, "report", "write the report of a search: one HTML file")
    report.add_argument("name", metavar="NAME", help="of the search, running or not")
    report.add_argument("-o", "--output", metavar="FILE", help="default: report.html beside it")
    add_runs_dir(report)


def _add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
