"""Is a tracking store usable? Asked before the search, in seconds and without importing mlflow."""

import base64
import os
import shutil
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from search.credentials import without_credentials
from trainable.errors import UsageError

DATABASE_NAME: Final = "mlflow.db"
"""The default store, in the runs folder."""
ARTIFACTS_NAME: Final = "mlartifacts"
"""Its artifacts, beside it; `python -m mlflow_server` uses the same two names."""

_REQUEST_TIMEOUT_S: Final = 6.0
_CHECK_TIMEOUT_S: Final = 8.0  # name look-ups have no timeout of their own
_SQLITE: Final = "sqlite:///"
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_MIN_FREE_BYTES: Final = 16 * 2**20


def default_tracking_uri(runs_dir: Path) -> str:
    """The store that is used when none is named: an absolute SQLite URI in the runs folder."""
    return f"{_SQLITE}{runs_dir.absolute() / DATABASE_NAME}"


def database_path(uri: str) -> Path | None:
    """The file of a SQLite URI, absolute; None for any other URI."""
    return Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None


def absolute_uri(uri: str | None) -> str | None:
    """`uri` as it is, but for the path of a SQLite URI, which becomes absolute."""
    path = None if uri is None else database_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def check_tracking(uri: str | None, runs_dir: Path) -> None:
    """Check within 10 seconds that a search can be tracked at `uri`; writes nothing.

    Args:
        uri: `http://`, `https://` or `sqlite:///PATH`; None: the default store in `runs_dir`.
        runs_dir: the folder of all searches; need not exist yet.

    Raises:
        UsageError: the store cannot be used; the message says what to do.
    """
    uri = default_tracking_uri(runs_dir) if uri is None else uri
    path = database_path(uri)
    if path is not None:
        _check_database(path)
        return
    if urlsplit(uri).scheme not in {"http", "https"}:
        raise UsageError(
            f"tracking URI must start with http://, https:// or sqlite:///, got "
            f"'{without_credentials(uri)}'{_advice(uri)}"
        )
    if not urlsplit(uri).hostname:
        raise UsageError(f"tracking URI names no host: '{without_credentials(uri)}'")
    _check_server(uri)


def _advice(uri: str) -> str:
    scheme = urlsplit(uri).scheme
    if scheme in {"", "file"}:
        folder = Path(uri.removeprefix("file://")).absolute()
        return f": for a store in that folder say {_SQLITE}{folder / DATABASE_NAME}"
    if scheme.split("+")[0] in {"postgresql", "postgres", "mysql", "mssql", "sqlite"}:
        return ": put an MLflow server before that database and give its http address"
    return ""


def _check_database(path: Path) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"the tracking store {path} cannot be written: {folder}: {error.strerror or error}; "
            "choose another --runs-dir or --tracking-uri"
        ) from None
    if shutil.disk_usage(folder).free < _MIN_FREE_BYTES:
        raise UsageError(
            f"the tracking store {path} needs at least {_MIN_FREE_BYTES // 2**20} MiB of free "
            f"space in {folder}: free some, or choose another --runs-dir or --tracking-uri"
        )
    if path.exists():
        _check_file(path)


def _check_file(path: Path) -> None:
    try:
        with path.open("r+b") as file:
            start = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise UsageError(
            f"the tracking store {path} cannot be opened for writing: {error.strerror or error}; "
            "choose another --tracking-uri"
        ) from None
    if start and start != _SQLITE_MAGIC:
        raise UsageError(
            f"the tracking store {path} is not an SQLite database: move the file away, or choose "
            "another --tracking-uri"
        )


def _check_server(uri: str) -> None:
    problems: list[str] = []
    asking = threading.Thread(target=lambda: problems.extend(_ask(uri)), daemon=True)
    asking.start()
    asking.join(_CHECK_TIMEOUT_S)
    if asking.is_alive():
        problems.append(f"no answer in {_CHECK_TIMEOUT_S:.0f} s")
    if problems:
        raise UsageError(
            f"the tracking server {without_credentials(uri)} cannot be used: {problems[0]}; "
            "start it, correct --tracking-uri, or leave the option out to record in the runs folder"
        )


def _ask(uri: str) -> list[str]:
    """What is wrong with the server at `uri`; nothing: an empty list."""
    url = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    parts = urlsplit(url)
    # urllib takes a password in the address for a port number
    request = urllib.request.Request(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    )
    authorization = _authorization(uri)
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(
            request, timeout=_REQUEST_TIMEOUT_S, context=_tls()
        ) as response:
            if "json" not in response.headers.get("Content-Type", ""):
                return ["something answers there that is not an MLflow server"]
    except urllib.error.HTTPError as error:
        return [refusal(error.code)]
    except (OSError, ValueError) as error:  # URLError, timeouts, TLS, broken addresses
        reason = getattr(error, "reason", None) or error
        return [getattr(reason, "strerror", None) or str(reason)]
    return []


def refusal(code: int) -> str:
    """What the answer `code` of HTTP says about a tracking server."""
    if code in {401, 403}:
        return (
            f"it refuses us (HTTP {code}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if code == 404:
        return "something answers there that is not an MLflow server (HTTP 404)"
    return f"it answers with HTTP {code}"


def _authorization(uri: str) -> str | None:
    parts = urlsplit(uri)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", parts.username)
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", parts.password)
    if user and password:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
