"""Is there a Ray cluster at an address? Asked before the search, in seconds, without ray."""

import os
import socket
import threading
from pathlib import Path
from typing import Final

from search.credentials import without_credentials
from trainable.errors import UsageError

DEADLINE_S: Final = 8.0
"""In all: name look-ups have no timeout of their own, and a name may have many addresses."""
_PROBE_TIMEOUT_S: Final = 3.0
_CURRENT_CLUSTER: Final = Path("/tmp/ray/ray_current_cluster")
_HTTP2_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS_FRAME: Final = 4


def check_cluster(address: str) -> None:
    """A gRPC server, as a cluster's head is, listens at `address` (`auto`: of this machine).

    Something that is no Ray head would keep `ray.init` waiting for more than a minute.

    Raises:
        UsageError: a malformed address, or no such answer within 10 seconds.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or _local_cluster()
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"--address takes HOST:PORT of a Ray cluster's head, or 'auto', got "
            f"'{without_credentials(address)}'"
        )
    problems: list[str] = []
    where = (host.strip("[]"), int(port))
    asking = threading.Thread(target=lambda: problems.extend(_ask(address, where)), daemon=True)
    asking.start()
    asking.join(DEADLINE_S)
    if asking.is_alive():
        problems.append(_silent(address, f"no answer in {DEADLINE_S:g} s"))
    if problems:
        raise UsageError(problems[0])


def _ask(address: str, where: tuple[str, int]) -> list[str]:
    """What is wrong at `address`; nothing: an empty list."""
    try:
        connection = socket.create_connection(where, DEADLINE_S)
    except (OSError, OverflowError, UnicodeError) as error:
        return [_silent(address, getattr(error, "strerror", None) or str(error))]
    with connection:
        if os.environ.get("RAY_USE_TLS") == "1" or _speaks_grpc(connection):
            return []
    return [
        f"what listens at {address} is no Ray cluster: give the HOST:PORT that "
        "`ray start --head` printed, or leave --address out"
    ]


def _speaks_grpc(connection: socket.socket) -> bool:
    try:
        connection.settimeout(_PROBE_TIMEOUT_S)
        connection.sendall(_HTTP2_HELLO)
        reply = connection.recv(9)
    except OSError:
        return False
    return len(reply) >= 4 and reply[3] == _SETTINGS_FRAME


def _silent(address: str, reason: str) -> str:
    return (
        f"no Ray cluster answers at {address} ({reason}): start one with `ray start --head`, "
        "or leave --address out"
    )


def _local_cluster() -> str:
    try:
        # in a folder of all users: theirs would have our trials, and answer with pickles
        if _CURRENT_CLUSTER.stat().st_uid not in {0, os.getuid()}:
            raise UsageError(
                f"--address auto: the Ray cluster of this machine is another user's "
                f"({_CURRENT_CLUSTER}): if you trust it, give its HOST:PORT"
            )
        return _CURRENT_CLUSTER.read_text().strip()
    except OSError:
        raise UsageError(
            "--address auto: no Ray cluster runs on this machine; start one with "
            "`ray start --head`, or leave --address out"
        ) from None
