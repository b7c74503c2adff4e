"""The options of every command. Imports nothing heavy: `--help` must not wait for torch or Ray."""

import argparse
import difflib
import re
from typing import Any, Final, NoReturn

from trainable.errors import UsageError

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


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
    for add in (_add_run, _add_resume, _add_data, _add_space, _add_export):
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
        raise UsageError(f"{_nearest_command(message)}; see `{self.prog} --help`")


def _add_run(commands: Any) -> None:
    run = _add(commands, "run", "search, log, evaluate and export")
    what = run.add_argument_group("what to train")
    what.add_argument("--loss", help="bce fl cb r-fl ntr-fl db-0fl cb-ntr db (default: db)")
    _add_data_options(what)
    what.add_argument("--tune", help="all: the whole encoder; head: a head on frozen features")
    what.add_argument("--preset", default="auto", help="auto, paper, cpu, cpu-full or smoke")
    what.add_argument("--epochs", type=_whole, metavar="N", help="longest training of a trial")
    what.add_argument("--precision", help="auto (default), bf16 or fp32")
    _add_settings(what)
    what.add_argument("--space", metavar="FILE", help="YAML file with ranges to search")
    how = run.add_argument_group("how to search")
    how.add_argument("--trials", type=_whole, metavar="N", help="the paper's values included")
    how.add_argument("--grace-period", type=_whole, metavar="N", help="epochs before ASHA stops")
    how.add_argument("--reduction-factor", type=_whole, metavar="N", help="ASHA keeps 1 of N")
    how.add_argument("--time-budget", type=_seconds, metavar="T", help="seconds, or 30m, 2h")
    how.add_argument(
        "--start-from", metavar="NAME", help="first points: the best of an earlier search"
    )
    how.add_argument("--seed", type=_whole, metavar="N", help="of the sampler and of training")
    where = run.add_argument_group("where to run")
    where.add_argument("--cpus-per-trial", type=_number, metavar="X", help="CPU cores of a trial")
    where.add_argument("--gpus-per-trial", type=_number, metavar="X", help="may be a fraction")
    where.add_argument("--max-concurrent", type=_whole, metavar="N", help="trials at once")
    where.add_argument(
        "--checkpoint-every",
        type=_whole,
        metavar="N",
        help="epochs; an interrupted trial goes on from there (0: from its first epoch)",
    )
    where.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    where.add_argument("--name", help="of the search (default: LOSS-DATASET-TIME)")
    _add_runs_dir(where)
    where.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: in the runs folder)")


def _add_resume(commands: Any) -> None:
    resume = _add(commands, "resume", "continue a search that was interrupted, or extend one")
    resume.add_argument("name", metavar="NAME", help="of the search")
    more = resume.add_mutually_exclusive_group()
    more.add_argument("--trials", type=_whole, metavar="N", help="new total of trials")
    more.add_argument(
        "--add-trials", type=_whole, metavar="N", help="N trials more than the search has now"
    )
    resume.add_argument(
        "--time-budget",
        type=_seconds,
        metavar="T",
        help="seconds, or 30m, 2h; every attempt has it anew",
    )
    resume.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on though code, versions or spec.yaml are not as they were",
    )
    resume.add_argument("--address", metavar="HOST:PORT", help="of an existing Ray cluster")
    resume.add_argument("--tracking-uri", metavar="URI", help="MLflow, if not where it was")
    _add_runs_dir(resume)


def _add_data(commands: Any) -> None:
    data = _add(commands, "data", "describe a dataset")
    data.add_argument("name", metavar="NAME", help="reuters, demo, file, or a file of your own")
    data.add_argument("--data", metavar="PATH", help="where the dataset lies")
    data.add_argument("--encoder", help="whose tokenizer counts (default: as `run` would choose)")
    data.add_argument("--split-seed", type=_whole, metavar="N", help="of train and validation")
    data.add_argument("--max-train-docs", type=_whole, metavar="N", help="thin the training set")
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
    export.add_argument("-o", "--output", default="best.yaml", metavar="FILE")
    _add_runs_dir(export)


def _add_data_options(group: Any) -> None:
    group.add_argument("--dataset", help="reuters, demo or file (default: reuters)")
    group.add_argument("--data", metavar="PATH", help="where the dataset lies, or your own file")
    group.add_argument("--encoder", help="Hugging Face name, folder, or minilm (packaged)")
    group.add_argument("--split-seed", type=_whole, metavar="N", help="of train and validation")
    group.add_argument("--max-train-docs", type=_whole, metavar="N", help="thin the training set")


def _add_settings(group: Any) -> None:
    group.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fix any setting of a trial; repeatable",
    )


def _add_runs_dir(group: Any) -> None:
    group.add_argument("--runs-dir", default="runs", metavar="DIR", help="default: ./runs")


def _add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got '{text}'") from None


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"must be seconds or like 30m, 2h, got '{text}'")
    return float(match[1]) * _UNITS_S[match[2]]


def _nearest_command(message: str) -> str:
    """Argparse's message, with the nearest command where one was unknown."""
    match = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
    if not match:
        return message.removeprefix("argument ")
    known = re.findall(r"[\w-]+", match[2])
    near = difflib.get_close_matches(match[1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown command '{match[1]}': {hint}Allowed: {', '.join(known)}"
