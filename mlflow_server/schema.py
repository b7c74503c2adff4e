"""Does a database fit the installed MLflow? Told from its migrations, without importing it.

Every migration is a file that names itself and the one before it. A database carries the name of
its last one. Reading 70 small files takes milliseconds; MLflow itself needs seconds to say this.
"""

import dataclasses
import enum
import functools
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Final

from mlflow_server.errors import ServerError

_MIGRATIONS: Final = Path("store", "db_migrations", "versions")
_REVISION: Final = re.compile(
    r"^(down_revision|revision)\b[^=\n]*=\s*[\"'](\w+)[\"']", re.MULTILINE
)


class Fit(enum.Enum):
    """How a database stands to the installed MLflow."""

    CURRENT = "current"
    OLDER = "older"
    """MLflow can migrate it."""
    NEWER = "newer"
    """Its last migration is not one that the installed MLflow knows."""
    UNFINISHED = "unfinished"
    """It has no last migration: whoever made its tables did not end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Migrations:
    """What an MLflow can do to a database."""

    head: str
    """The last one: what a database must have."""
    known: frozenset[str]

    def fit(self, version: str | None) -> Fit:
        """How a database with `version` as its last migration stands."""
        if version is None:
            return Fit.UNFINISHED
        if version == self.head:
            return Fit.CURRENT
        return Fit.OLDER if version in self.known else Fit.NEWER


def mlflow_version() -> str:
    """Of the installed package.

    Raises:
        ServerError: there is none.
    """
    try:
        return importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        raise ServerError("MLflow is not installed here: `python -m pip install mlflow`") from None


@functools.cache
def installed() -> Migrations:
    """The migrations of the installed MLflow.

    Raises:
        ServerError: MLflow is not installed, or keeps them elsewhere.
    """
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("MLflow is not installed here: `python -m pip install mlflow`")
    return migrations(Path(next(iter(spec.submodule_search_locations))) / _MIGRATIONS)


def migrations(folder: Path) -> Migrations:
    """The migrations in `folder`.

    Raises:
        ServerError: they are no chain with one end.
    """
    known, followed = set(), set()
    for path in folder.glob("*.py"):
        names = dict(_REVISION.findall(path.read_text(encoding="utf-8")))
        if "revision" in names:
            known.add(names["revision"])
            followed.add(names.get("down_revision"))
    heads = known - followed
    if len(heads) != 1:
        raise ServerError(
            f"MLflow's migrations in {folder} have {len(heads)} ends instead of one: install "
            "MLflow anew"
        )
    return Migrations(heads.pop(), frozenset(known))
