"""Errors of MLflow in plain words; those of real answers are in test_recording."""

import pytest

from search.tracking.reasons import is_timeout, plain

URI = "http://ann:s3cret@127.0.0.1:1/x"


class ReadTimeout(Exception):  # noqa: N818
    """Named as that of requests."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(sqlite3.OperationalError) database or disk is full", "its disk is full"),
        ("[Errno 28] No space left on device: '/x'", "its disk is full"),
        (
            f"API request to {URI} failed with exception HTTPConnectionPool(host='h', port=1): Max "
            'retries exceeded (Caused by NewConnectionError("<urllib3>: Failed to establish: '
            '[Errno 111] Connection refused"))',
            "Connection refused",
        ),
        ("API request to endpoint /api failed with error code 404 != 200", "HTTP 404"),
        (
            f"something\nnew of {URI}/api/2.0 and ann:s3cret@127.0.0.1",
            "something new of http://127.0.0.1:1/x/api/2.0 and 127.0.0.1",
        ),
        ("x" * 1000, "x" * 300),
    ],
)
def test_in_plain_words(text, words):
    found = plain(Exception(text), URI)
    assert found == words or (words in found and "HTTP" in words)
    assert "s3cret" not in found


def test_a_timeout_is_known_by_what_caused_the_error():
    error = Exception("anything")
    error.__cause__ = ReadTimeout()
    assert is_timeout(error)
    assert plain(error, URI) == "no answer in time"
    assert not is_timeout(Exception("timeout"))
