"""Addresses lose what is secret, wherever it stands, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from search.credentials import from_environment, has_credentials, scrub, without_credentials

WORD = st.text("abcXYZ019", min_size=3, max_size=8)
PASSWORD = st.text("abc019!$*/?#:+", min_size=3, max_size=12)


@pytest.mark.parametrize(
    ("uri", "plain"),
    [
        ("sqlite:////abs/olute.db", "sqlite:////abs/olute.db"),
        ("http://host:5000", "http://host:5000"),
        ("http://ann:pw@host:5000/x#y", "http://host:5000/x"),
        ("postgresql+psycopg://ann@host/db", "postgresql+psycopg://host/db"),
        ("postgresql://ann:p/w?x@host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
        ("postgresql://host/db?user=ann&password=pw", "postgresql://host/db"),
        ("https://host/a@b?api_key=1&x=2", "https://host/a@b?x=2"),
        ("me:pw@host", "host"),
        (None, None),
    ],
)
def test_what_is_left(uri, plain):
    assert without_credentials(uri) == plain
    assert not has_credentials(plain)


@given(WORD, PASSWORD, WORD)
def test_no_password_is_left_that_a_database_would_be_sent(user, password, host):
    uri = f"postgresql://{user}:{password}@{host}/db"
    found = make_url(uri)
    assert (found.password, found.host) == (password, host)  # SQLAlchemy reads it so
    assert without_credentials(uri) == f"postgresql://{host}/db"
    assert has_credentials(uri)
    told = scrub(f'cannot reach {uri}: password "{password}" was refused', uri)
    assert uri not in told
    assert f'"{password}"' not in told


def test_the_environment_gives_a_password_back_to_its_own_address(monkeypatch):
    whole = "postgresql://ann:pw@host/db"
    monkeypatch.setenv("LONGTAIL_STORAGE", whole)
    assert from_environment("storage", None) == whole
    assert from_environment("storage", "postgresql://host/db") == whole
    other = "postgresql://elsewhere/db"
    assert from_environment("storage", other) == other  # no password for a stranger's host
    assert from_environment("storage", "postgresql://bob:x@host/db") == "postgresql://bob:x@host/db"
    monkeypatch.delenv("LONGTAIL_STORAGE")
    assert from_environment("storage", None) is None
