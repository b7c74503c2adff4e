"""What the words of a command may look like; argparse turns each error into a line."""

import argparse
import difflib
import re
from typing import Final

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS_GIB: Final = {"": 1.0, "m": 2**-10, "g": 1.0, "t": 2.0**10}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([mgt]?)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def whole(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[+-]?\d+", text):
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'")
    return int(text)


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got '{text}'") from None


def gib(text: str) -> float:
    """A size in GiB."""
    match = _SIZE.fullmatch(text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"must be GiB or like 500M, 2G, got '{text}'")
    return float(match[1]) * _UNITS_GIB[match[2]]


def seconds(text: str) -> float:
    """A time in seconds."""
    match = _DURATION.fullmatch(text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"must be seconds or like 30m, 2h, got '{text}'")
    return float(match[1]) * _UNITS_S[match[2]]


def nearest_command(message: str) -> str:
    """Argparse's message, with the nearest command where one was unknown."""
    match = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
    if not match:
        return message.removeprefix("argument ")
    known = re.findall(r"[\w-]+", match[2])
    near = difflib.get_close_matches(match[1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown command '{match[1]}': {hint}Allowed: {', '.join(known)}"
