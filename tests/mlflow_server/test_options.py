"""What a server may be told, by flags and by a file; each refusal is one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_server.options import server_settings
from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError
from mlflow_server.verbs import parse

PG = "postgresql://ann@db.example:5433/runs"


def settings(*arguments):
    return server_settings(parse([str(argument) for argument in arguments]))


def refusal(*arguments):
    with pytest.raises(StoreError) as caught:
        settings(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_said_is_the_embedded_server():
    assert settings() == ServerSettings(runs_dir=Path("runs").absolute())
    assert settings().is_embedded


def test_a_team_by_flags(tmp_path):
    said = settings(
        *("--runs-dir", tmp_path, "--database", PG, "--database-password-file", tmp_path / "pw"),
        *("--artifacts", "s3://bucket/a/b", "--s3-endpoint", "http://127.0.0.1:9000"),
        *("--login", "--admin-password-file", tmp_path / "admin", "--workers", "auto"),
        *("--allowed-host", "a.example", "--allowed-host", "b.example:8443"),
    )
    assert said == ServerSettings(
        runs_dir=tmp_path,
        database="postgresql+psycopg://ann@db.example:5433/runs",
        database_password_file=tmp_path / "pw",
        artifacts="s3://bucket/a/b",
        s3_endpoint="http://127.0.0.1:9000",
        login=True,
        admin_password_file=tmp_path / "admin",
        allowed_hosts=("a.example", "b.example:8443"),
        workers=None,
    )


def config(tmp_path, text):
    path = tmp_path / "etc" / "server.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_says_the_same_and_flags_go_before_it(tmp_path):
    path = config(
        tmp_path,
        f"runs_dir: state\nport: 5001\ndatabase: {PG}\ndatabase_password_file: pw\nlogin: true\n"
        "allowed_hosts: [a.example]\nworkers: 3\nartifacts: s3://bucket\n",
    )
    said = settings("--config", path)
    assert said == ServerSettings(
        runs_dir=path.parent / "state",
        port=5001,
        database="postgresql+psycopg://ann@db.example:5433/runs",
        database_password_file=path.parent / "pw",
        artifacts="s3://bucket",
        login=True,
        allowed_hosts=("a.example",),
        workers=3,
    )
    other = settings(
        *("--config", path, "--port", "5002", "--workers", "auto", "--allowed-host", "b.example"),
        *("--runs-dir", tmp_path),
    )
    assert (other.port, other.workers, other.runs_dir) == (5002, None, tmp_path)
    assert other.allowed_hosts == ("b.example",)
    assert "that needs --login" in refusal("--config", path, "--no-login")
    assert settings("--config", config(tmp_path, "# nothing\n")) == settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("databse: x", "has an unknown option 'databse': did you mean 'database'?"),
        ("zzzz: x", "has an unknown option 'zzzz'; known: runs_dir, host, port, database, "),
        ("port: high", "port must be a whole number, got 'high'"),
        ("port: true", "port must be a whole number, got True"),
        ("login: 1", "login must be true or false, got 1"),
        ("allowed_hosts: a.example", "allowed_hosts must be a list of host names, got 'a.example'"),
        ("runs_dir: 5", "runs_dir must be a path, got 5"),
        ("workers: many", "workers must be a whole number or auto, got 'many'"),
        ("- a\n- b", "must hold lines of `option: value`"),
        ("a: [", "is not YAML: "),
        ("!!python/object/apply:os.system [x]", "is not YAML: "),
    ],
)
def test_a_file_that_cannot_be_understood(text, message, tmp_path):
    path = config(tmp_path, text)
    assert f"--config {path}" in refusal("--config", path)
    assert message in refusal("--config", path)


def test_a_file_that_is_not_there(tmp_path):
    assert refusal("--config", tmp_path / "no") == (
        f"--config {tmp_path / 'no'} cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--allowed-host", "a.example"], "--allowed-host a.example opens the server to others"),
        (["--login", "--allowed-host", "https://a.example"], "must be a name as it stands"),
        (["--login", "--allowed-host", "*.example"], "must be a name as it stands"),
        (["--login", "--allowed-host", "A.example"], "in small letters"),
        (["--login", "--allowed-host", "a.example,b.example"], "must be a name as it stands"),
        (["--workers", "0"], "--workers must be auto or lie in 1..32, got '0'"),
        (["--workers", "-1"], "--workers must be auto or lie in 1..32, got '-1'"),
        (["--workers", "2"], "--workers 2 needs --database"),
        (["--artifacts", "/tmp/x"], "--artifacts must look like s3://BUCKET/PREFIX, got '/tmp/x'"),
        (["--artifacts", "s3://b/../c d"], "--artifacts must look like s3://BUCKET/PREFIX"),
        (["--s3-endpoint", "http://x"], "--s3-endpoint needs --artifacts"),
        (["--artifacts", "s3://abc", "--s3-endpoint", "http://me:pw@x"], "without a user"),
        (["--artifacts", "s3://abc", "--s3-endpoint", "x:9000"], "must look like https://HOST"),
        (["--database-password-file", "f"], "--database-password-file needs --database"),
        (["--admin-password-file", "f"], "--admin-password-file needs --login"),
        (["--database", "mysql://ann@db/x"], "must look like postgresql://USER@HOST:PORT/DATABASE"),
        (["--database", "postgresql://ann@db"], "names no database"),
        (["--database", "runs"], "must look like postgresql://"),
    ],
)
def test_what_is_refused(arguments, message):
    assert message in refusal(*arguments)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:hush@db/x",
        "postgresql+psycopg://ann:hush@db/x",
        "postgresql://db/x?user=ann&password=hush",
        "mysql://ann:hush@db/x",
        "mysql://db/x?password=hush",
        "ann:hush@db",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(address):
    message = refusal("--database", address)
    assert "hush" not in message
    if address.startswith("postgresql"):
        assert "must not hold a password" in message


@given(st.sampled_from(["", "postgresql://", "postgres://", "mysql://"]), st.text(max_size=30))
def test_no_address_is_taken_that_is_none(prefix, text):
    from mlflow_server.database_address import libpq_url, sqlalchemy_url

    try:
        url = sqlalchemy_url(prefix + text)
    except StoreError as error:
        message = str(error)
    else:
        assert libpq_url(url) == f"postgresql://{text}"
        message = url
    assert message.isprintable()
