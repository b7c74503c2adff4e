"""The command line: a verb, or none for the foreground, and the options of each."""

import argparse
from pathlib import Path
from typing import Final, NoReturn

from mlflow_server.options import add_server_options
from mlflow_server.user_commands import add_user_verbs

PROGRAM: Final = "python -m mlflow_server"
_EPILOG: Final = "What a verb takes is said by `python -m mlflow_server VERB --help`."


def parser() -> argparse.ArgumentParser:
    """The parser of all; `verb` is None for the foreground."""
    made = _foreground_parser()
    verbs = made.add_subparsers(dest="verb", title="verbs", metavar="VERB", parser_class=_Parser)
    start = verbs.add_parser("start", help="serve in the background; returns when it is healthy")
    _add_serving(start)
    stop = verbs.add_parser("stop", help="end the server of a runs folder and all its processes")
    _add_place(stop)
    status = verbs.add_parser(
        "status", help="say whether one runs, and where: exit code 0, 1 if it is ill, 3 if not"
    )
    _add_place(status)
    status.add_argument("--json", action="store_true", help="for a program")
    _add_backup(verbs.add_parser("backup", help="database and artifacts, also while they are used"))
    _add_restore(verbs.add_parser("restore", help="a backup into a runs folder, verified first"))
    add_user_verbs(verbs)
    return made


def parse(arguments: list[str]) -> argparse.Namespace:
    """What was said; exits with one line where that is nothing that can be done."""
    first = arguments[0] if arguments else ""
    # a verb has options of its own: those before it would be lost
    asks_verb = first in {"-h", "--help"} or (first != "" and not first.startswith("-"))
    return (parser() if asks_verb else _foreground_parser()).parse_args(arguments)


def _foreground_parser() -> "_Parser":
    made = _Parser(
        prog=PROGRAM,
        description="Serve the MLflow store of a runs folder, on this machine, until Ctrl-C; or, "
        "with a verb, in the background.",
        epilog=_EPILOG,
    )
    made.set_defaults(verb=None)
    _add_serving(made)
    return made


def _add_serving(made: argparse.ArgumentParser) -> None:
    add_server_options(made)
    made.add_argument(
        "--upgrade",
        action="store_true",
        help="migrate the database of an older MLflow, after a backup of it",
    )


def _add_place(made: argparse.ArgumentParser) -> None:
    made.add_argument("--runs-dir", type=Path, help="of the searches; default: ./runs")
    made.add_argument(
        "--config", type=Path, metavar="FILE", help="the YAML file that the server was told"
    )


def _add_backup(made: argparse.ArgumentParser) -> None:
    add_server_options(made)
    made.add_argument(
        "--to", type=Path, metavar="FILE", help="or a folder; default: one in RUNS_DIR/mlbackups"
    )
    made.add_argument("--database-only", action="store_true", help="leave the artifacts out")


def _add_restore(made: argparse.ArgumentParser) -> None:
    made.add_argument("file", type=Path, metavar="FILE", help="that `backup` wrote")
    add_server_options(made)
    made.add_argument(
        "--replace",
        action="store_true",
        help="move what lies there into RUNS_DIR/mlbackups first; without, there must be nothing",
    )


class _Parser(argparse.ArgumentParser):
    """Wrong use is one line, without the block of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')}; see `{self.prog} --help`\n")
