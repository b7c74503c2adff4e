"""`python -m mlflow_server [VERB]`: serve the runs of a folder, or look after what serves them.

Exit codes: 0 done or stopped, 1 the server cannot run (port taken, it died), 2 wrong usage or
store, 3 no server runs (`status`), 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from mlflow_server import lifecycle
from mlflow_server.backup import back_up
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.options import server_settings
from mlflow_server.restore import restore
from mlflow_server.settings import ServerSettings
from mlflow_server.status import print_status
from mlflow_server.user_commands import USER_VERBS
from mlflow_server.verbs import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        return _dispatch(options)
    except StoreError as error:
        return _fail(error, 2)
    except ServerError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130


def _dispatch(options: argparse.Namespace) -> int:
    if options.verb in USER_VERBS:
        options.run(options, _say)
        return 0
    settings = server_settings(options)
    match options.verb:
        case "stop":
            return lifecycle.stop(settings.runs_dir, _say)
        case "status":
            return print_status(settings, as_json=options.json, say=_say)
        case "start":
            return lifecycle.start(settings, upgrade=options.upgrade, say=_say)
        case "backup":
            return _back_up(settings, options)
        case "restore":
            restore(settings, options.file.absolute(), replace=options.replace, say=_say)
            return 0
        case _:
            return lifecycle.run(settings, upgrade=options.upgrade, say=_say)


def _back_up(settings: ServerSettings, options: argparse.Namespace) -> int:
    made = back_up(settings, to=options.to, with_artifacts=not options.database_only)
    _say(f"wrote {made.path}: {made.summary}")
    for line in made.manifest.left_out:
        _say(f"left out: {line}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
