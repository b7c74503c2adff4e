"""What the MLflow process is told."""

from pathlib import Path

import pytest

from mlflow_server.process_environment import command, environment
from mlflow_server.settings import ServerSettings

EMBEDDED = ServerSettings(runs_dir=Path("/runs"))
TEAM = ServerSettings(
    runs_dir=Path("/runs"),
    database="postgresql+psycopg://ann@db/x",
    artifacts="s3://bucket/p",
    s3_endpoint="http://127.0.0.1:9000",
    login=True,
    allowed_hosts=("a.example", "b.example:8443"),
    workers=3,
    pool=43,
)


def option(words, name):
    return words[words.index(name) + 1]


def test_a_team():
    words = command(TEAM)
    assert option(words, "--app-name") == "basic-auth"
    assert option(words, "--artifacts-destination") == "s3://bucket/p"
    assert option(words, "--workers") == "3"
    assert not any("postgresql" in word for word in words)
    variables = environment(TEAM)
    assert variables["MLFLOW_BACKEND_STORE_URI"] == TEAM.database
    assert variables["MLFLOW_SERVER_ALLOWED_HOSTS"] == (
        "127.0.0.1:5000,localhost:5000,a.example,b.example:8443"
    )
    assert variables["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == (
        "https://a.example,https://b.example:8443"
    )
    assert variables["MLFLOW_AUTH_CONFIG_PATH"] == "/runs/mlflow_auth.ini"
    assert variables["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:9000"
    pool = ("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW")
    assert sum(int(variables[name]) for name in pool) == 43


def test_the_embedded_server_knows_of_nothing_else():
    words = command(EMBEDDED)
    assert option(words, "--backend-store-uri") == "sqlite:////runs/mlflow.db"
    assert "--app-name" not in words
    names = environment(EMBEDDED)
    for part in ("AUTH", "S3", "CORS", "BACKEND"):
        assert not any(part in name for name in names)


def test_workers_must_be_counted_before():
    with pytest.raises(AssertionError):
        environment(ServerSettings(runs_dir=Path("/runs"), workers=None))
