"""What single options may look like; each refusal is one line."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from mlflow_server.store import StoreError

MAX_WORKERS: Final = 32
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./-]*)?", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.ASCII)


def check_address(host: str, port: int) -> None:
    """Raise StoreError unless the address is one of this machine's own."""
    if not 1 <= port <= 65535:
        raise StoreError(f"--port must lie in 1..65535, got {port}")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise StoreError(
            f"--host must be of this machine (127.0.0.1, ::1 or localhost), got '{host}': others "
            "come through a reverse proxy with TLS, see docs/deploy.md"
        )


def check_allowed_hosts(hosts: tuple[str, ...], *, login: bool) -> None:
    """Raise StoreError unless each host is a plain name, and a login protects the server."""
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise StoreError(
                "--allowed-host must be a name as it stands in the address, in small letters, with "
                f"a port if it is not 443 (mlflow.example.org), got '{host}'"
            )
    if hosts and not login:
        raise StoreError(
            f"--allowed-host {hosts[0]} opens the server to others: that needs --login"
        )


def check_artifacts(artifacts: str | None, endpoint: str | None) -> None:
    """Raise StoreError unless these name a bucket and, if at all, an address of its server."""
    if artifacts is not None and not _BUCKET.fullmatch(artifacts):
        raise StoreError(f"--artifacts must look like s3://BUCKET/PREFIX, got '{artifacts}'")
    if endpoint is None:
        return
    if artifacts is None:
        raise StoreError("--s3-endpoint needs --artifacts s3://BUCKET/PREFIX")
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise StoreError(
            "--s3-endpoint must look like https://HOST:PORT, without a user (credentials: "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials)"
        )


def check_workers(text: str, *, embedded: bool) -> int | None:
    """The number of workers; None stands for `auto`.

    Raises:
        StoreError: no such number, or several over a SQLite file.
    """
    if text == "auto":
        return 1 if embedded else None
    workers = int(text) if text.isdecimal() else 0
    if not 1 <= workers <= MAX_WORKERS:
        raise StoreError(f"--workers must be auto or lie in 1..{MAX_WORKERS}, got '{text}'")
    if workers > 1 and embedded:
        raise StoreError(
            f"--workers {workers} needs --database: one process has to do for a SQLite file"
        )
    return workers
