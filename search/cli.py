"""The command line: parse and dispatch, nothing else. `--help` must not wait for torch or Ray.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted.
"""

import argparse
import difflib
import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from search.options import build_parser, parsers_of
from trainable.errors import UsageError, UserError

if TYPE_CHECKING:
    from search.console import Terminal

INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never raises on what a user can get wrong."""
    try:
        options = parse(argv)
        from search.console import Terminal

        return _dispatch(options, Terminal())
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except UserError as error:
        return _fail(error, error.exit_code)
    except BrokenPipeError:
        from search.console import drop_output

        drop_output()
        return 1
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return _fail("the disk is full: free some space, then resume the search", 2)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Turn the arguments into options; `argv` among them has the words themselves.

    Raises:
        UsageError: an unknown command or option (with the nearest one), or a malformed value.
    """
    parser = build_parser()
    words = sys.argv[1:] if argv is None else list(argv)
    options, unknown = parser.parse_known_args(words)
    if unknown:
        raise _unknown_argument(unknown[0], options.command, parser)
    options.argv = words
    return options


def _dispatch(options: argparse.Namespace, terminal: "Terminal") -> int:
    from search.commands import COMMANDS, warn_of_passwords

    warn_of_passwords(options, terminal)
    return COMMANDS[options.command](options, terminal)


def _unknown_argument(text: str, command: str, parser: argparse.ArgumentParser) -> UsageError:
    option = text.partition("=")[0]
    known = [o for o in parsers_of(parser)[command]._option_string_actions if o.startswith("--")]
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    kind = "option" if option.startswith("-") else "argument"
    return UsageError(f"unknown {kind} '{option}': {hint}see `python -m search {command} --help`")


def _fail(error: BaseException | str, code: int) -> int:
    from search.console import Terminal

    Terminal().fail(error)
    return code
