"""Artifacts in a bucket: into a backup and back, on a real S3 server (moto's)."""

import os

import pytest

from mlflow_server import archive, bucket_copy
from mlflow_server.__main__ import main
from mlflow_server.settings import ServerSettings
from tests.mlflow_server.small_store import make_store, rows
from tests.mlflow_server.team_server import BUCKET, S3_KEYS, served_bucket

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

CONTENT = {
    "0/run0/artifacts/plot größe.png": bytes(range(256)) * 400,
    "0/run0/artifacts/empty": b"",
    "1/run1/artifacts/model/weights.bin": os.urandom(300_000),
}


@pytest.fixture(scope="module")
def bucket():
    with served_bucket() as (address, client):
        yield address, client


@pytest.fixture
def told(bucket, tmp_path, monkeypatch, request):
    """The options of a server with a prefix of its own."""
    for name, value in (S3_KEYS | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(name, value)
    runs = tmp_path / "runs"
    make_store(runs, artifacts=False)
    return ["--runs-dir", runs, *place(bucket, request.node.name)]


def place(bucket, prefix):
    return ["--artifacts", f"s3://{BUCKET}/{prefix}", "--s3-endpoint", bucket[0]]


def put(bucket, prefix, content):
    for name, body in content.items():
        bucket[1].put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=body)


def held(bucket, prefix):
    client = bucket[1]
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", ())
    return {
        item["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket=BUCKET, Key=item["Key"])[
            "Body"
        ].read()
        for item in listed
    }


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_into_another_prefix(bucket, told, tmp_path, capsys, request):
    mine = request.node.name
    put(bucket, mine, CONTENT | {"folder/": b"", "a//b": b"x", "../up": b"y"})
    put(bucket, f"{mine}-neighbour", {"0/other": b"not ours"})
    file = tmp_path / "b.tar.gz"
    code, out, err = run(capsys, "backup", "--to", file, *told)
    assert (code, err) == (0, "")
    first, *left_out = out.splitlines()
    assert first == f"wrote {file}: 15 rows and 3 artifacts (0.4 MiB)"
    assert [line.rpartition(f"{mine}: ")[2] for line in left_out[:2]] == [
        "../up (no name of a file)",
        "a//b (no name of a file)",
    ]
    new = tmp_path / "new"
    code, out, err = run(
        capsys, "restore", file, "--runs-dir", new, *place(bucket, "another/prefix")
    )
    assert (code, err) == (0, "")
    assert "15 rows of 4 tables, counted as in the backup, and 3 artifacts, checksums" in out
    assert held(bucket, "another/prefix") == CONTENT
    assert rows(new / "mlflow.db", "SELECT count(*) FROM runs") == [(2,)]
    assert not (new / "mlartifacts").exists()


def test_from_a_bucket_into_a_folder_and_back(bucket, told, tmp_path, capsys, request):
    """What the server hands out has the same names in both."""
    put(bucket, request.node.name, CONTENT)
    file, again = tmp_path / "b.tar.gz", tmp_path / "c.tar.gz"
    assert run(capsys, "backup", "--to", file, *told)[0] == 0
    folder = tmp_path / "folder"
    assert run(capsys, "restore", file, "--runs-dir", folder)[0] == 0
    for name, content in CONTENT.items():
        assert (folder / "mlartifacts" / name).read_bytes() == content
    assert run(capsys, "backup", "--to", again, "--runs-dir", folder)[0] == 0
    back = ("--runs-dir", tmp_path / "back", *place(bucket, "back"))
    assert run(capsys, "restore", again, *back)[0] == 0
    assert held(bucket, "back") == CONTENT


def test_over_what_is_there(bucket, told, tmp_path, capsys, request):
    mine = request.node.name
    put(bucket, mine, CONTENT)
    file = tmp_path / "b.tar.gz"
    assert run(capsys, "backup", "--to", file, *told)[0] == 0
    put(bucket, mine, dict.fromkeys(CONTENT, b"spoilt") | {"2/newer": b"stays"})
    new = tmp_path / "new"
    command = ("restore", file, "--runs-dir", new, *told[2:])
    code, out, err = run(capsys, *command)
    assert (code, out) == (2, "")
    assert f"s3://{BUCKET}/{mine} holds objects, such as {mine}/0/run0/" in err
    assert "add --replace, which writes over those of the same names" in err
    assert not (new / "mlflow.db").exists()
    assert run(capsys, *command, "--replace")[0] == 0
    assert held(bucket, mine) == CONTENT | {"2/newer": b"stays"}


@pytest.mark.usefixtures("told")
def test_an_object_that_goes_meanwhile(bucket, tmp_path, request):
    settings = ServerSettings(
        runs_dir=tmp_path, artifacts=f"s3://{BUCKET}/{request.node.name}", s3_endpoint=bucket[0]
    )
    put(bucket, request.node.name, {"there": b"1"})
    with archive.writing(tmp_path / "b.tar.gz") as writer:
        gone = bucket_copy.add_all(settings, writer, ["artifacts/there", "artifacts/gone"])
    assert list(writer.members) == ["artifacts/there"]
    assert gone == [f"{settings.artifacts}: {request.node.name}/gone (deleted meanwhile)"]


def test_a_bucket_that_cannot_be_read(told, capsys):
    told[3] = "s3://no-such-bucket/x"
    code, out, err = run(capsys, "backup", *told)
    assert (code, out) == (2, "")
    assert "--artifacts s3://no-such-bucket/x cannot be used: " in err
    assert S3_KEYS["AWS_SECRET_ACCESS_KEY"] not in err
    assert err.count("\n") == 1
