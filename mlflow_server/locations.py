"""Addresses of artifacts in a database: which lie in the store's own folder, and moving those.

A search writes its artifacts under `file:` addresses, which are absolute: a restored database must
name the folder that it was restored to. (What a server hands out, `mlflow-artifacts:`, needs no
change.)
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PROXIED: Final = "mlflow-artifacts:"
_COLUMNS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


def move(connection: sqlite3.Connection, old: Iterable[Path], new: Path) -> int:
    """Let addresses in one of the folders `old` name `new` instead; returns how many did.

    Args:
        connection: in no transaction.
        old: absolute, by every name that the folder had.
        new: absolute.
    """
    moved = 0
    with connection:
        for table, column in _present(connection):
            for before, after in _pairs(old, new):
                cursor = connection.execute(
                    f'UPDATE "{table}" SET "{column}" = :after || substr("{column}", :length + 1) '
                    f'WHERE "{column}" = :before OR substr("{column}", 1, :length + 1) = '
                    ":before || '/'",
                    {"before": before, "after": after, "length": len(before)},
                )
                moved += cursor.rowcount
    return moved


def elsewhere(connection: sqlite3.Connection, folders: Iterable[Path]) -> list[str]:
    """The addresses of experiments' artifacts that lie in none of `folders`."""
    if ("experiments", "artifact_location") not in _present(connection):
        return []
    own = [name for folder in folders for name in (folder.as_uri(), str(folder))]
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    return sorted(
        str(address)
        for (address,) in found
        if address is not None
        and not str(address).startswith(_PROXIED)
        and not any(address == name or str(address).startswith(f"{name}/") for name in own)
    )


def _pairs(old: Iterable[Path], new: Path) -> list[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for folder in old:
        pairs |= {folder.as_uri(): new.as_uri(), str(folder): str(new)}
    return [(before, after) for before, after in pairs.items() if before != after]


def _present(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those columns that this version of MLflow has."""
    return [
        (table, column)
        for table, column in _COLUMNS
        if column in {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
    ]
