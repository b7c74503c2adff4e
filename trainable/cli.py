"""`python -m trainable [COMMAND] ...`: dispatch, and how every command ends. Imports no torch.

    BEST.YAML --out MODEL     train again: the command without a name
    predict MODEL             name the labels of texts
    evaluate MODEL            score it, also against another

A further command is a module with `build_parser` and `run` and a line in `_COMMANDS`. Each has a
parser of its own: the first word decides, so that BEST.YAML needs no command before it (a file
that is called like a command: `./predict`).

Exit codes: 0, 1 (it went wrong), 2 (wrong use), 130 (interrupted).
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from trainable import evaluate_command, predict_command, retrain_command
from trainable.errors import UserError, one_line
from trainable.terminal import note

INTERRUPTED: Final = 130


class Command(Protocol):
    """What a command's module offers."""

    def build_parser(self) -> argparse.ArgumentParser:
        """The parser of the words behind the command's name."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; the exit code. What a user can get wrong is raised as `UserError`."""


_COMMANDS: Final[Mapping[str, Command]] = {
    "predict": predict_command,
    "evaluate": evaluate_command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; never raises on what a user can get wrong."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    named = bool(words) and words[0] in _COMMANDS
    command = _COMMANDS[words[0]] if named else retrain_command
    options = command.build_parser().parse_args(words[named:])
    try:
        return command.run(options)
    except UserError as error:
        note(f"error: {one_line(error)}")
        return error.exit_code
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
