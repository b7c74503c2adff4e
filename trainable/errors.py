"""What a user can get wrong, in one line each.

    UserError              something the user can mend; exit code 1
     `-- UsageError        the command, its options or its input are wrong; exit code 2

A message says what must hold, what was found, and what to do. Entry points print it without a
traceback (`exit_code`, `one_line`); everything else that is raised is a bug.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A failure that the user can mend; the message is one line."""

    exit_code = 1


class UsageError(UserError):
    """Wrong usage: an unknown name, a value out of range, input that cannot be read."""

    exit_code = 2


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> UsageError:
    """The error for a name outside a closed set, offering the nearest allowed one.

    >>> str(unknown_name("loss", "bd", ["bce", "db"]))
    "unknown loss 'bd': did you mean 'db'? Allowed: bce, db"
    """
    names = list(allowed)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UsageError(f"unknown {kind} '{name}': {hint}Allowed: {', '.join(names)}")


def first_line(error: BaseException) -> str:
    """The first line of torch's many, or the kind of an error that has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException) -> str:
    """The message of `error` on one line, for a terminal."""
    return " ".join(str(error).split())
