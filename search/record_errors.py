"""One line for a study or a journal that cannot be used."""

import contextlib
from collections.abc import Iterator

from search.credentials import scrub, without_credentials
from search.spec import SearchSpec
from search.study import STUDY_FILE
from trainable.errors import UsageError, UserError, one_line


@contextlib.contextmanager
def storage_told(spec: SearchSpec) -> Iterator[None]:
    """Within: a study that cannot be read, or a journal that cannot be written, is one line."""
    damaged: tuple[type[Exception], ...] = (
        *storage_failures(),
        *(ImportError, RuntimeError, KeyError, ValueError),
    )
    try:
        yield
    except OSError as error:
        raise cannot_record(spec, f"cannot record the search: {one_line(error)}") from error
    except damaged as error:
        root = innermost(error)
        if spec.storage is not None:
            raise UsageError(
                f"--storage {without_credentials(spec.storage)}: cannot be used for the study "
                f"({scrub(root, spec.storage)}): check the address and the password, "
                "which a search folder does not keep"
            ) from None
        raise UsageError(
            f"{spec.folder / STUDY_FILE}: cannot be used as the study of the search "
            f"({root}): restore the file, or start a new search"
        ) from error


def storage_failures() -> tuple[type[Exception], ...]:
    """What a study or a journal raises that cannot be read or written."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    return OSError, OptunaError, SQLAlchemyError


def innermost(error: BaseException) -> str:
    """The first cause, on one line: SQLAlchemy wraps `database or disk is full` in pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def cannot_record(spec: SearchSpec, reason: str) -> UserError:
    """The one line for a search whose journal or study cannot be written."""
    return UserError(
        f"{reason}; free space or check {spec.folder}, then `python -m search resume {spec.name}`"
    )
