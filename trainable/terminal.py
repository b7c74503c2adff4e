"""What the commands of `python -m trainable` share: one-line errors, notes on stderr."""

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Wrong use is one line, without the block of usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(2, f"error: {message.removeprefix('argument ')}; see `{self.prog} --help`\n")


def note(text: str) -> None:
    """A line beside the result, which alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)
