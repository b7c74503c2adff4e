"""What stops a team's server before MLflow starts: one line each."""

import importlib.util
import sys

import pytest

from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError
from mlflow_server.team import made_ready
from tests.mlflow_server.team_server import BUCKET, S3_KEYS, served_bucket
from tests.ports import free_port


def refusal(tmp_path, **settings):
    with pytest.raises(StoreError) as caught:
        made_ready(ServerSettings(runs_dir=tmp_path, **settings), say=lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_embedded_server_needs_nothing(tmp_path):
    settings = ServerSettings(runs_dir=tmp_path)
    assert made_ready(settings, say=lambda _: None) == settings
    assert list(tmp_path.iterdir()) == []


def test_no_postgresql_answers(tmp_path):
    address = f"127.0.0.1:{free_port()}/x"
    message = refusal(tmp_path, database=f"postgresql+psycopg://ann@{address}")
    assert message.startswith(f"the database postgresql://ann@{address} cannot be used: ")
    assert "Connection refused" in message
    assert message.endswith("(--database-password-file, PGPASSWORD or ~/.pgpass)")


@pytest.mark.parametrize(
    ("package", "settings"),
    [
        ("psycopg", {"database": "postgresql+psycopg://ann@127.0.0.1/x"}),
        ("boto3", {"artifacts": "s3://bucket"}),
    ],
)
def test_a_package_is_absent(package, settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert f"needs {package}: pip install -c constraints.txt -e '.[team]'" in refusal(
        tmp_path, **settings
    )


def test_no_login_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert refusal(tmp_path, login=True).startswith("--login needs Flask-WTF: pip install")


@pytest.fixture
def keys(monkeypatch, tmp_path):
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.mark.server
@pytest.mark.usefixtures("keys")
def test_a_bucket_that_cannot_be_written(tmp_path, monkeypatch):
    with served_bucket() as (address, client):
        place = {"artifacts": f"s3://{BUCKET}/a", "s3_endpoint": address}
        made_ready(ServerSettings(runs_dir=tmp_path, **place), say=lambda _: None)
        assert "Contents" not in client.list_objects_v2(Bucket=BUCKET)
        message = refusal(tmp_path, artifacts="s3://no-such-bucket", s3_endpoint=address)
        assert message.startswith("--artifacts s3://no-such-bucket cannot be used: ")
        assert "NoSuchBucket" in message
    assert "Could not connect" in refusal(tmp_path, **place)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "Unable to locate credentials" in refusal(tmp_path, **place)
