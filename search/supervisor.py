"""`--restart N`: the command as a child process, and `resume` when that dies or fails.

A Ray head that dies takes its driver along, and nothing inside a process can help against kill -9:
so somebody outside has to. The child has the terminal but a process group of its own: Ctrl-C
reaches the supervisor alone, which passes it on once. Neither torch nor Ray is imported here.
"""

import argparse
import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from search.console import Terminal
from search.credentials import VARIABLES, has_credentials, without_credentials
from search.journal import JOURNAL_FILE, read_journal
from search.lock import hold
from search.results import SearchRecord, load_search
from search.spec import SPEC_NAME
from search.stillness import EPOCH_EVENTS
from search.stop_requests import take_requests
from trainable.errors import UserError

PAUSE_S: Final = 5.0
"""Before another attempt: what the last one left is gone by then."""
_IDLE_ATTEMPTS: Final = 2
"""In a row without a new epoch: another one would not help."""
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM)
_FINAL: Final = frozenset({0, 2, 130})
"""Exit codes: done, wrong usage, interrupted by the user."""
_ADDRESSES: Final = ("--address", "--storage", "--tracking-uri")
_PR_SET_PDEATHSIG: Final = 1

Command = Sequence[str]


def supervise(
    folder: Path,
    first: Command,
    again: Command,
    *,
    restarts: int,
    terminal: Terminal,
    pause_s: float = PAUSE_S,
) -> int:
    """Run `first`, then `again` as often as it helps; returns the exit code of the last attempt.

    Args:
        folder: Of the search; need not exist yet.
        first: The command of the first attempt.
        again: The command that goes on with a search whose folder exists; without one it is
            `first` that is tried again.
        restarts: At most so many attempts after the first.
        terminal: For one line a restart.
        pause_s: Seconds before each.
    """
    idle = 0
    command = first
    with _Child.passing_signals_on() as child:
        for restart in range(1, restarts + 2):
            epochs = count_epochs(folder)
            code = child.run(command)
            if code < 0:
                terminal.show_cursor()
            why = reason_to_restart(code, folder)
            if child.signalled or not why:
                break
            idle = 0 if count_epochs(folder) > epochs else idle + 1
            if idle == _IDLE_ATTEMPTS:
                terminal.warn(f"{why}; not restarted: {idle} attempts in a row finished no epoch")
                break
            if restart > restarts:
                terminal.warn(f"{why}; not restarted: --restart {restarts} is spent")
                break
            terminal.warn(f"{why}; restarting in {pause_s:g} s ({restart} of {restarts})")
            if _stopped_within(pause_s, folder, child):
                break
            command = again if (folder / SPEC_NAME).is_file() else first
    return code if code >= 0 else 128 - code


def reason_to_restart(code: int, folder: Path) -> str:
    """Why another attempt may help after a child ended with `code` (negative: by that signal).

    Returns:
        "" where it would not: done, wrong usage, the user's interruption, or nothing left to do.
    """
    if code in _FINAL:
        return ""
    ended = f"the search was killed ({signal.Signals(-code).name})" if code < 0 else ""
    record = _record(folder)
    if record is None:
        return ended  # before there was a folder: a failure then is one of the machine
    told = record.reason or record.status
    if ended or record.status in ("failed", "interrupted"):
        return ended or f"the search ended: {told}"
    unscored = record.best is not None and record.test_report is None
    return f"the winner has no test scores: {told}" if unscored else ""


def count_epochs(folder: Path) -> int:
    """Epochs in the journal: what tells an attempt that got somewhere."""
    try:
        return sum(event["event"] in EPOCH_EVENTS for event in read_journal(folder / JOURNAL_FILE))
    except UserError:
        return 0


def without_restart(argv: Sequence[str]) -> list[str]:
    """The command line without `--restart N`.

    >>> without_restart(["run", "--restart", "3", "--loss", "db", "--restart=2"])
    ['run', '--loss', 'db']
    """
    return _without("--restart", argv)


def with_total(argv: Sequence[str], trials: int) -> list[str]:
    """The command line with the total in place of `--add-trials N`, which adds whenever it is said.

    >>> with_total(["resume", "x", "--add-trials", "3"], 7)
    ['resume', 'x', '--trials', '7']
    """
    return [*_without("--add-trials", argv), "--trials", str(trials)]


def concealed(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line without passwords in addresses, and the variables that give them back.

    Every user of a machine can read the arguments of a process, but not its environment.
    """
    words, variables = list(argv), {}
    options = {f"--{name.replace('_', '-')}": name for name in VARIABLES}
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in options:
            continue
        place, head = (index, f"{option}=") if equals else (index + 1, "")
        value = value if equals else "".join(words[place : place + 1])
        if has_credentials(value):
            words[place] = f"{head}{without_credentials(value)}"
            variables[VARIABLES[options[option]]] = value
    return words, variables


def _without(option: str, argv: Sequence[str]) -> list[str]:
    kept, words = [], iter(argv)
    for word in words:
        if word == option:
            next(words, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


def resume_arguments(options: argparse.Namespace, name: str) -> list[str]:
    """`resume NAME` after the `run` or `resume` that `options` are of.

    Of a run it takes the addresses, which are stored without their credentials; a resume is
    repeated as it was, since one that was killed early has not stored what it changes.
    """
    if options.command == "resume":
        return without_restart(options.argv)
    argv = ["resume", name, "--runs-dir", options.runs_dir, "--trust"]  # this user began it
    for option in _ADDRESSES:
        value = getattr(options, option.lstrip("-").replace("-", "_"))
        if value is not None:
            argv += [option, value]
    return argv


class _Child:
    """The running attempt; signals go to it, and are remembered."""

    def __init__(self) -> None:
        self.signalled = 0
        """The last signal."""
        self._process: subprocess.Popen[bytes] | None = None
        self._told: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def passing_signals_on(cls) -> Iterator["_Child"]:
        """A child whose signals come here first while the block runs."""
        child = cls()
        before = {number: signal.signal(number, child._pass_on) for number in _PASSED_ON}
        try:
            yield child
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, command: Command) -> int:
        """The child's exit code, or the negative number of the signal that killed it."""
        self._process = subprocess.Popen(command, process_group=0, preexec_fn=_die_with_parent())
        if self.signalled and self._told is not self._process:  # it came while this one started
            self._pass_on(self.signalled, None)
        return self._process.wait()

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.signalled, self._told = number, self._process
        if self._process is not None:
            self._process.send_signal(number)  # nothing happens where it is over


def _stopped_within(seconds: float, folder: Path, child: _Child) -> bool:
    """Sleep; True at once on a signal, or when `search stop` asks."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        # the folder has an owner meanwhile: whom to ask to stop, and nobody else resumes it
        with contextlib.suppress(UserError, OSError):
            stack.enter_context(hold(folder))
        while time.monotonic() < deadline:
            asked = any(request.trial is None for request in take_requests(folder))
            if child.signalled or asked:
                return True
            time.sleep(min(0.1, seconds))
    return bool(child.signalled)


def _die_with_parent() -> Callable[[], Any]:
    """For the child: SIGTERM when the supervisor dies, so that the search ends in order."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _record(folder: Path) -> SearchRecord | None:
    try:
        return load_search(folder)
    except UserError:
        return None


def python_command(argv: Sequence[str]) -> list[str]:
    """`python -m search ARGV` with this very interpreter."""
    return [sys.executable, "-m", "search", *argv]
