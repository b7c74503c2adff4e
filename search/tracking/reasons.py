"""Why a store did not take something, in plain words: MLflow quotes whole stacks of libraries."""

import re
from collections.abc import Iterator
from typing import Final

from search.credentials import scrub
from search.tracking.check import refusal
from trainable.errors import one_line

_MAX_WORDS: Final = 300  # characters
_HTTP_CODE: Final = re.compile(r"error code (\d{3})|too many (\d{3}) error|^(\d{3}) \w+ Error")
_NO_CONNECTION: Final = re.compile(r"\[Errno -?\d+\] ([A-Z][\w ]+)")
_FULL: Final = re.compile(r"disk is full|No space left on device|disk full", re.IGNORECASE)


def plain(error: BaseException, uri: str) -> str:
    """The reason in a few words, without the credentials of `uri`.

    >>> plain(Exception("failed with error code 403 != 200. Response body: ''"), "http://host")
    'it refuses us (HTTP 403); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
MLFLOW_TRACKING_TOKEN'
    """
    text = one_line(error)
    if _FULL.search(text):
        return "its disk is full"
    if is_timeout(error):
        return "no answer in time"
    if "not in a valid JSON format" in text:
        return "something answers there that is not an MLflow server"
    if getattr(error, "error_code", "") == "PERMISSION_DENIED":
        return refusal(403)
    code = _HTTP_CODE.search(text)
    if code:
        number = int(code[1] or code[2] or code[3])
        # MLflow's client does not read what a 500 says
        why = " (its log has the reason; a full disk is one)" if number == 500 else ""
        return f"{refusal(number)}{why}"
    failed = _NO_CONNECTION.search(text)
    if failed and "request" in text:
        return failed[1].strip()
    return scrub(text, uri)[:_MAX_WORDS]


def is_timeout(error: BaseException) -> bool:
    """Whether something did not answer in time."""
    names = {type(cause).__name__ for cause in _causes(error)}
    return any(name.endswith("Timeout") or name == "TimeoutError" for name in names)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
