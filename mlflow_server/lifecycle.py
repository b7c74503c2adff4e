"""A server from its settings to its end, in the foreground or detached; its stop from elsewhere.

A detached server is the foreground's code in a forked child with a session of its own: a small
process that notices when MLflow's dies, says so in the log, and takes MLflow's with it.
"""

import contextlib
import dataclasses
import datetime
import os
import platform
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from mlflow_server import migrating, processes, schema, state
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.logs import rotate
from mlflow_server.server import STOP_TIMEOUT_S, Server, check_port
from mlflow_server.settings import ServerSettings
from mlflow_server.state import State
from mlflow_server.store import Store
from mlflow_server.team import made_ready

Say = Callable[[str], None]
_STOP_MARGIN_S: Final = 5.0


def run(settings: ServerSettings, *, upgrade: bool, say: Say) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; returns the exit code.

    Raises:
        ServerError: the server cannot run, or ended by itself.
        StoreError: its store cannot be used.
    """
    _check_free(settings)
    with state.hold(settings.runs_dir):
        return _serve(
            made_ready(settings, say=say),
            told(settings),
            upgrade=upgrade,
            say=say,
            ready=lambda url: say(f"MLflow serves {settings.runs_dir} at {url} (Ctrl-C stops it)"),
        )


def start(settings: ServerSettings, *, upgrade: bool, say: Say) -> int:
    """Serve detached; returns the exit code when the server is healthy.

    One that serves the same already, with the same settings, is what was asked for: 0.

    Raises:
        ServerError: the server cannot run, or one runs with other settings.
        StoreError: its store cannot be used.
    """
    running = State.read(settings.runs_dir)
    if running is not None and running.supervisor_lives and running.ready:
        if running.settings == told(settings):
            say(f"MLflow serves {settings.runs_dir} already at {running.url}")
            return 0
        raise ServerError(
            f"process {running.pid} serves {settings.runs_dir} with other settings at "
            f"{running.url}: stop it first with {stop_command(settings.runs_dir)}"
        )
    _check_free(settings)
    with state.hold(settings.runs_dir):
        ready = made_ready(settings, say=say)  # here, where a person can be asked
        receiving, sending = os.pipe()
        sys.stdout.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns where a library has left a thread; the child needs none of them
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(receiving)
            _be_the_server(ready, told(settings), sending, upgrade=upgrade)
        os.close(sending)
        return _hear(child, receiving, settings, say)


def stop(runs_dir: Path, say: Say) -> int:
    """End the server of `runs_dir`, and what a killed one has left; returns the exit code.

    Raises:
        ServerError: it runs on another machine, is another user's, or would not end.
    """
    running = State.read(runs_dir)
    if running is None or not (running.supervisor_lives or running.leftovers()):
        if running is not None and not running.is_here and state.is_held(runs_dir):
            raise ServerError(f"the server of {runs_dir} runs on {running.machine}: stop it there")
        say(f"no server runs for {runs_dir}")
        return 0
    try:
        if running.supervisor_lives:
            processes.end([running.pid], patience_s=STOP_TIMEOUT_S + _STOP_MARGIN_S)
        processes.end(running.leftovers(), patience_s=STOP_TIMEOUT_S)
    except PermissionError:
        raise ServerError(
            f"process {running.pid}, which serves {runs_dir}, is another user's: stop it as that"
        ) from None
    left = running.leftovers()
    if left:
        raise ServerError(f"process {', '.join(map(str, left))} of the server would not end")
    state.forget(runs_dir, running.token)
    say(f"stopped the server of {runs_dir} ({running.url})")
    return 0


def stop_command(runs_dir: Path) -> str:
    """What a user types to stop the server of `runs_dir`."""
    return f"`python -m mlflow_server stop --runs-dir {shlex.quote(str(runs_dir))}`"


def told(settings: ServerSettings) -> dict[str, object]:
    """`settings` as they stand in a state file."""
    return {
        name: value if isinstance(value, (int, type(None))) else str(value)
        for name, value in dataclasses.asdict(settings).items()
    }


def _check_free(settings: ServerSettings) -> None:
    """Refuse early, before anything is written."""
    running = State.read(settings.runs_dir)
    left = [] if running is None else running.leftovers()
    if running is not None and left and not running.supervisor_lives:
        raise ServerError(
            f"a server of {settings.runs_dir} was killed and left process "
            f"{', '.join(map(str, left))}: end that with {stop_command(settings.runs_dir)}"
        )
    if running is None or not running.supervisor_lives:  # else the lock says it better
        check_port(settings.host, settings.port)
    Store(settings.runs_dir).prepare()


def _serve(
    settings: ServerSettings, asked: dict[str, object], *, upgrade: bool, say: Say, ready: Say
) -> int:
    server = Server(settings)
    rotate(server.store.log)
    about = _state_of(server, asked)
    about.write(settings.runs_dir)
    with _told_to_stop() as stopping, contextlib.ExitStack() as at_end:
        at_end.callback(state.forget, settings.runs_dir, server.token)
        at_end.callback(server.stop)  # before that; a second Ctrl-C does not disturb it
        with server.store.initialisation_lock():
            if settings.is_embedded and not server.store.database.exists():
                server.warm_up()
            try:
                migrating.make_ready(settings, upgrade=upgrade, say=say)
            except ServerError:
                if not stopping.is_set():  # a Ctrl-C reaches MLflow's process too
                    raise
            if stopping.is_set():
                return 0
            server.start()
            if not server.wait_until_healthy(stopping=stopping.is_set):
                return 0
        dataclasses.replace(about, ready=True).write(settings.runs_dir)
        ready(server.url)
        while not stopping.wait(0.5):
            if server.exit_code() is not None:
                raise ServerError(f"the MLflow server ended by itself; see {server.store.log}")
        return 0


@contextlib.contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that is set by a signal to stop."""
    stopping = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopping.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _state_of(server: Server, asked: dict[str, object]) -> State:
    begun = processes.started(os.getpid())
    assert begun is not None, "this process runs"
    return State(
        pid=os.getpid(),
        started=begun,
        token=server.token,
        machine=platform.node(),
        url=server.url,
        since=_now(),
        mlflow_version=schema.mlflow_version(),
        log=str(server.store.log),
        settings=asked,
    )


def _be_the_server(
    settings: ServerSettings, asked: dict[str, object], sending: int, *, upgrade: bool
) -> NoReturn:
    """The forked child: never returns. What `start` shall print goes through `sending`."""
    code = 1
    with os.fdopen(sending, "w") as front:

        def tell(line: str) -> None:
            if not front.closed:
                front.write(line + "\n")
                front.flush()

        def ready(url: str) -> None:
            tell(f"MLflow serves {settings.runs_dir} at {url}; {stop_command(settings.runs_dir)}")
            tell("ready")
            front.close()

        try:
            _detach(Store(settings.runs_dir).log)
            code = _serve(settings, asked, upgrade=upgrade, say=tell, ready=ready)
        except (ServerError, StoreError) as error:
            code = 2 if isinstance(error, StoreError) else 1
            _log(f"error: {error}")
            tell(f"error: {error}")
        except BaseException as error:  # noqa: BLE001 - nobody above could print it
            _log(traceback.format_exc())
            tell(f"error: {error!r}; see {Store(settings.runs_dir).log}")
    os._exit(code)


def _log(text: str) -> None:
    os.write(2, f"{_now()} {text.rstrip()}\n".encode())


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _detach(log: Path) -> None:
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def _hear(child: int, receiving: int, settings: ServerSettings, say: Say) -> int:
    """Pass on what the child tells until it is ready or has ended."""
    try:
        with os.fdopen(receiving) as told_by_child:
            for line in told_by_child:
                if line == "ready\n":
                    return 0
                if line.startswith("error: "):
                    _, status = os.waitpid(child, 0)
                    kind = StoreError if os.waitstatus_to_exitcode(status) == 2 else ServerError
                    raise kind(line.removeprefix("error: ").strip())
                say(line.rstrip("\n"))
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    raise ServerError(f"the server ended before it was ready; see {Store(settings.runs_dir).log}")
