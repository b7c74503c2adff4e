"""A team's server for real: PostgreSQL, S3, login; who may do what, and a search from a cluster."""

import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys

import pytest

from mlflow_server.database import DatabaseFacts, probe
from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError
from tests.mlflow_server.climbing import CLIMBING
from tests.mlflow_server.proxy import served_proxy
from tests.mlflow_server.team_server import (
    BUCKET,
    PREFIX,
    PUBLIC_NAME,
    ROOT,
    S3_KEYS,
    TeamServer,
    clean_environment,
    served_bucket,
)
from tests.ports import free_port
from tests.postgres import PASSWORD as DATABASE_PASSWORD
from tests.postgres import served_postgres
from tests.tiny import tiny_encoder
from tests.two_nodes import two_nodes

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=9"
RUNS = "/api/2.0/mlflow/runs"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MADE = re.compile(r"the user (\w+) has the password (\S+) \(shown this once, kept nowhere\)\n")


@pytest.fixture(scope="module")
def database():
    with served_postgres("max_connections=200") as postgres:  # of two workers
        yield postgres


@pytest.fixture(scope="module")
def bucket():
    with served_bucket() as served:
        yield served


@pytest.fixture(scope="module")
def server(database, bucket, tmp_path_factory):
    """Started for the first time, without a terminal: the admin's password is made and said."""
    server = TeamServer(tmp_path_factory.mktemp("team"), database.url(), bucket[0])
    server.start()
    try:
        name, server.password = MADE.fullmatch(server.said[0]).groups()
        assert name == "admin"
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def users(server):
    """Two who search and one who reads, as pairs of name and password."""
    made = {}
    for name, *role in (("ann",), ("bob",), ("rita", "--role", "reader")):
        done = server.command("add-user", name, *role)
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines(keepends=True)
        made[name] = MADE.fullmatch(first).groups()
        assert second.startswith(f"{name} is a {role[1] if role else 'searcher'};")
    return made


@pytest.fixture(scope="module")
def run_of_ann(server, users):
    """The experiment and the run that ann made."""
    _, text = server.ask(
        "/api/2.0/mlflow/experiments/create", user=users["ann"], body={"name": "of-a-team"}
    )
    experiment = json.loads(text)["experiment_id"]
    _, text = server.ask(
        f"{RUNS}/create", user=users["ann"], body={"experiment_id": experiment, "run_name": "r"}
    )
    return experiment, json.loads(text)["run"]["info"]["run_id"]


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    """The address behind which TLS ends, and its certificate."""
    folder = tmp_path_factory.mktemp("proxy")
    ports = {"port": server.proxy_port, "plain_port": free_port(), "upstream_port": server.port}
    with served_proxy(folder, **ports) as certificate:
        yield f"https://localhost:{server.proxy_port}", certificate


def admin(server):
    return "admin", server.password


def test_no_request_without_a_login(server, users):
    assert server.ask("/health") == (200, "OK")
    paths = (SEARCH, "/", "/version", "/api/2.0/mlflow/users/list", f"{ARTIFACTS}?path=0")
    strangers = (None, ("admin", "wrong"), ("admin", ""), ("eve", "no-such-user-here"))
    for path in paths:
        answers = [server.ask(path, user=stranger)[0] for stranger in strangers]
        assert answers == [401] * len(strangers), path
    assert server.ask(f"{ARTIFACTS}/0/x/artifacts/a", method="PUT", body=b"x")[0] == 401
    assert server.ask(f"{RUNS}/create", body={"experiment_id": "0"})[0] == 401
    for user in (admin(server), *users.values()):
        assert server.ask(SEARCH, user=user)[0] == 200


def test_users_of_a_team_share_an_experiment_and_delete_only_their_own(server, users, run_of_ann):
    experiment, run = run_of_ann
    point = {"run_id": run, "key": "m", "value": 1.0, "timestamp": 1, "step": 1}
    asked = {
        "read": (f"{RUNS}/get?run_id={run}", None),
        "log": (f"{RUNS}/log-metric", point),
        "create": (f"{RUNS}/create", {"experiment_id": experiment}),
        "delete": (f"{RUNS}/delete", {"run_id": run}),
        "add users": (
            "/api/2.0/mlflow/users/create",
            {"username": "m", "password": "long-enough-for-it"},
        ),
    }
    granted = {
        name: {
            what
            for what, (path, body) in asked.items()
            if server.ask(path, user=users[name], body=body)[0] == 200
        }
        for name in ("bob", "rita", "ann")
    }
    assert granted["bob"] == {"read", "log", "create"}
    assert granted["rita"] == {"read"}
    assert granted["ann"] == {"read", "log", "create", "delete"}


def test_whose_the_experiment_is_may_delete_in_it(server, users, run_of_ann):
    """Rights go by experiment: ann made it; bob has a run, an artifact and a model there."""
    experiment, _ = run_of_ann

    def by(name, path, **options):
        return server.ask(path, user=users[name], **options)

    _, text = by("bob", f"{RUNS}/create", body={"experiment_id": experiment})
    run = json.loads(text)["run"]["info"]["run_id"]
    artifact = f"{ARTIFACTS}/{experiment}/{run}/artifacts/a.txt"
    assert by("bob", artifact, method="PUT", body=b"of bob")[0] == 200
    model = {"name": "model of bob"}
    models = "/api/2.0/mlflow/registered-models"
    assert by("bob", f"{models}/create", body=model)[0] == 200
    for name in ("bob", "rita"):
        assert by(name, f"{RUNS}/delete", body={"run_id": run})[0] == 403
        assert by(name, artifact, method="DELETE")[0] == 403
        body = {"experiment_id": experiment}
        assert by(name, "/api/2.0/mlflow/experiments/delete", body=body)[0] == 403
    for name in ("ann", "rita"):
        assert by(name, f"{models}/get?name=model%20of%20bob")[0] == 403
        assert by(name, artifact) == (200, "of bob")
    assert by("ann", artifact, method="DELETE")[0] == 200
    assert by("ann", f"{RUNS}/delete", body={"run_id": run})[0] == 200


def test_a_user_without_a_role_sees_nothing(server, run_of_ann):
    body = {"username": "norole", "password": "long-enough-for-it"}
    assert server.ask("/api/2.0/mlflow/users/create", user=admin(server), body=body)[0] == 200
    user = tuple(body.values())
    assert json.loads(server.ask(SEARCH, user=user)[1]) == {}
    assert server.ask(f"{RUNS}/get?run_id={run_of_ann[1]}", user=user)[0] == 403


def test_other_hosts_and_origins_are_refused(server, users):
    def status(**headers):
        return server.ask(SEARCH, user=users["ann"], **headers)[0]

    own = f"127.0.0.1:{server.port}"
    assert status(Host=own) == 200
    assert status(Host=PUBLIC_NAME) == 200
    for host in ("evil.example", f"x.{PUBLIC_NAME}", f"{PUBLIC_NAME}:8443", "127.0.0.1"):
        assert status(Host=host) == 403, host

    def post(origin):
        body = {"experiment_ids": ["0"]}
        path = "/ajax-api/2.0/mlflow/runs/search"
        return server.ask(path, user=users["ann"], body=body, Host=PUBLIC_NAME, Origin=origin)[0]

    assert post(f"https://{PUBLIC_NAME}") == 200
    for origin in (f"http://{PUBLIC_NAME}", "https://evil.example", "null"):
        assert post(origin) == 403, origin


@pytest.mark.parametrize("path", CLIMBING)
def test_no_artifact_climbs_out(server, run_of_ann, bucket, path):
    before = keys(bucket)
    path = ARTIFACTS + path.format(inside=f"{run_of_ann[0]}/{run_of_ann[1]}/artifacts")
    for method, body in (("PUT", b"climbed"), ("GET", None), ("DELETE", None)):
        status, _ = server.ask(path, user=admin(server), method=method, body=body)
        assert status in {308, 400, 403, 404, 405}, method  # 308: to the path without //
    assert keys(bucket) == before


def test_a_folder_of_the_servers_machine_gives_nothing_away(server, users, tmp_path):
    """MLflow lets a user put an experiment's artifacts into any folder of its machine."""
    bob = users["bob"]
    (tmp_path / "secret").write_text("of the machine")
    body = {"name": "beside the secret", "artifact_location": tmp_path.as_uri()}
    _, text = server.ask("/api/2.0/mlflow/experiments/create", user=bob, body=body)
    experiment = json.loads(text)["experiment_id"]
    _, text = server.ask(f"{RUNS}/create", user=bob, body={"experiment_id": experiment})
    run = json.loads(text)["run"]["info"]["run_id"]
    for path in ("../../secret", "%2e%2e/%2e%2e/secret", "%252e%252e/%252e%252e/secret"):
        status, text = server.ask(f"/get-artifact?path={path}&run_uuid={run}", user=bob)
        assert 400 <= status < 600
        assert "of the machine" not in text
        query = f"run_uuid={run}&path={path}/.."
        status, text = server.ask(f"/api/2.0/mlflow/artifacts/list?{query}", user=bob)
        assert "secret" not in text.replace(path, "")
        put = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}"
        assert 400 <= server.ask(put, user=bob, method="POST", body=b"changed")[0] < 600
    assert (tmp_path / "secret").read_text() == "of the machine"


def test_what_the_database_says_before_mlflow_opens_it(server, database, tmp_path):
    def settings(password):
        path = tmp_path / "password"
        path.touch(0o600)
        path.write_text(password)
        address = database.url("postgresql+psycopg")
        return ServerSettings(runs_dir=tmp_path, database=address, database_password_file=path)

    assert server.ask("/health")[0] == 200
    facts = DatabaseFacts(connections=197, has_admin=True)
    assert probe(settings(DATABASE_PASSWORD)) == facts
    # docs/deploy.md: what to do when the admin's password is lost; what he made stays his
    body = {"name": "of the admin"}
    create = "/api/2.0/mlflow/experiments/create"
    assert server.ask(create, user=admin(server), body=body)[0] == 200
    rename = "UPDATE users SET username = '{}', is_admin = {} WHERE username = '{}' RETURNING id"
    assert len(database.query(rename.format("admin-before", "false", "admin"))) == 1
    assert probe(settings(DATABASE_PASSWORD)) == dataclasses.replace(facts, has_admin=False)
    assert len(database.query(rename.format("admin", "true", "admin-before"))) == 1
    with pytest.raises(StoreError, match="password authentication failed for user") as caught:
        probe(settings("some-other-password"))
    assert "some-other-password" not in str(caught.value)


def keys(bucket):
    found = bucket[1].list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {one["Key"] for one in found}


def test_artifacts_go_through_the_server_into_the_bucket(server, users, run_of_ann, bucket):
    experiment, run = run_of_ann
    path = f"{ARTIFACTS}/{experiment}/{run}/artifacts/plots/a.txt"
    assert server.ask(path, user=users["bob"], method="PUT", body=b"hello")[0] == 200
    assert server.ask(path, user=users["rita"]) == (200, "hello")
    assert server.ask(path, user=users["rita"], method="PUT", body=b"x")[0] == 403
    assert f"{PREFIX}/{experiment}/{run}/artifacts/plots/a.txt" in keys(bucket)


def test_no_secret_is_in_a_file_or_on_a_command_line(server, users):
    secrets = [server.password, DATABASE_PASSWORD, *(password for _, password in users.values())]
    shown = [" ".join(process.cmdline()) for process in server.processes()]
    assert len(shown) >= 2
    written = [
        path.read_text(errors="replace") for path in server.runs.rglob("*") if path.is_file()
    ]
    assert len(written) >= 3
    for secret in secrets:
        assert not any(secret in text for text in (*shown, *written))
    for name in ("mlflow_auth.ini", "mlflow_auth.key"):
        assert (server.runs / name).stat().st_mode & 0o777 == 0o600


def test_passwords_change_and_users_go(server):
    def status(password):
        return server.ask(SEARCH, user=("eva", password))[0]

    new = {"MLFLOW_NEW_USER_PASSWORD": "the-first-of-eva"}
    assert server.command("add-user", "eva", **new).returncode == 0
    assert status("the-first-of-eva") == 200
    again = server.command("add-user", "eva", **new)
    assert again.returncode == 2
    assert again.stderr == (
        "error: the server refuses (HTTP 400): User (username=eva) already exists.\n"
    )
    new = {"MLFLOW_NEW_USER_PASSWORD": "the-second-of-eva"}
    assert server.command("set-password", "eva", **new).returncode == 0
    assert (status("the-first-of-eva"), status("the-second-of-eva")) == (401, 200)
    eva = ("eva", "the-second-of-eva")
    create = "/api/2.0/mlflow/experiments/create"
    assert server.ask(create, user=eva, body={"name": "of eva"})[0] == 200
    assert server.command("remove-user", "eva").returncode == 0
    assert status("the-second-of-eva") == 401


def test_a_later_start_needs_no_password_and_keeps_users(server, users):
    """With as many workers as there is room for, through `mlflow server`; one needs none."""
    assert server.stop() == 0
    server.start("--workers", "auto")
    assert len(server.said) == 1  # no password
    assert server.ask(SEARCH, user=admin(server))[0] == 200
    assert server.ask(SEARCH, user=users["ann"])[0] == 200
    room = min(2, len(os.sched_getaffinity(0)))
    spawned = ["spawn_main" in " ".join(process.cmdline()) for process in server.processes()]
    assert sum(spawned) == (room if room > 1 else 0)


def test_the_proxy_has_tls_and_lets_through_what_a_search_needs(server, users, proxy):
    url, certificate = proxy

    def ask(path, **options):
        with server.open(path, url=url, trusted=certificate, **options) as response:
            return response.status, response.headers, response.read()

    assert ask(SEARCH)[0] == 401
    status, headers, body = ask(SEARCH, user=users["ann"])
    assert status == 200
    assert "experiments" in json.loads(body)
    assert headers["Strict-Transport-Security"]
    assert ask(SEARCH, user=users["ann"], Host="evil.example")[0] == 403
    page = ask("/", user=users["ann"])[2].decode()
    script = re.search(r'src="([^"]+\.js)"', page)[1]
    _, headers, body = ask(f"/{script}", user=users["ann"], Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < len(gzip.decompress(body)) / 2
    for path in (
        *("/ajax-api/3.0/mlflow/assistant/config", "/gateway/x", "/ajax-api/3.0/jobs/1"),
        *("/api/2.0/mlflow/webhooks", "//ajax-api/3.0/mlflow/assistant/config"),
        *("/x/../ajax-api/3.0/mlflow/assistant/config", "/ajax-api%2f3.0/mlflow/assistant/config"),
    ):
        status, headers, _ = ask(path, user=admin(server))
        assert (status, headers["Server"].startswith("nginx")) == (404, True), path


@pytest.mark.ray
def test_a_search_from_a_cluster_of_two_nodes(proxy, users, database, bucket, tmp_path):
    name, password = users["bob"]
    arguments = (
        *("run", "--loss", "db", "--dataset", "demo", "--preset", "smoke", "--trials", "2"),
        *("--encoder", tiny_encoder(tmp_path / "bert"), "--set", "max_length=32", "--epochs", "2"),
        *("--name", "from-two-nodes", "--runs-dir", tmp_path / "runs"),
    )
    with two_nodes() as (machines, _):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "search", *map(str, arguments)),
                *("--address", machines.address, "--tracking-uri", proxy[0]),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(
                MLFLOW_TRACKING_USERNAME=name,
                MLFLOW_TRACKING_PASSWORD=password,
                MLFLOW_TRACKING_SERVER_CERT_PATH=str(proxy[1]),
                LONGTAIL_CACHE=str(tmp_path / "cache"),
                PYTHONPATH=str(ROOT),
                RAY_AUTH_MODE="disabled",
            ),
        )
        actors = machines.global_state.actor_table(None).values()
    assert done.returncode == 0, done.stdout + done.stderr
    trained = [a["Address"]["NodeID"] for a in actors if "Trainable" in a["ActorClassName"]]
    assert len(set(trained)) == 2, actors
    [search] = database.query(
        "SELECT run_uuid, experiment_id FROM runs WHERE name = 'from-two-nodes'"
    )
    run, experiment = search
    rows = database.query(
        "SELECT r.name, r.status, count(DISTINCT m.step), count(DISTINCT p.key) FROM runs r "
        "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId' "
        f"AND t.value = '{run}' JOIN metrics m ON m.run_uuid = r.run_uuid "
        "AND m.key = 'val/micro_f1' JOIN params p ON p.run_uuid = r.run_uuid "
        "GROUP BY r.name, r.status ORDER BY r.name"
    )
    assert [row[:2] for row in rows] == [("trial-000", "FINISHED"), ("trial-001", "FINISHED")]
    journal = (tmp_path / "runs" / "from-two-nodes" / "journal.jsonl").read_text()
    assert sum(epochs for *_, epochs, _ in rows) == journal.count('"event": "epoch"') >= 3
    counted = f"SELECT count(*) FROM runs WHERE experiment_id = {experiment}"
    assert database.query(counted) == [(3,)]  # the search and its trials
    assert min(parameters for *_, parameters in rows) >= 8  # the loss and what was searched
    assert {
        f"{PREFIX}/{experiment}/{run}/artifacts/{name}" for name in ("best.yaml", "spec.yaml")
    } <= keys(bucket)


@pytest.mark.usefixtures("users")
def test_a_backup_of_all_is_restored_beside(server, database, bucket, tmp_path):
    """Runs, users and artifacts, made while the server runs, into another database and prefix."""

    def command(verb, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "mlflow_server", verb, "--config", str(server.config)]
            + [str(argument) for argument in arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(**S3_KEYS, AWS_DEFAULT_REGION="us-east-1"),
        )
        assert done.returncode == 0, done.stderr
        assert DATABASE_PASSWORD not in done.stdout
        return done.stdout

    file = tmp_path / "b.tar.gz"
    assert command("backup", "--to", file).startswith(f"wrote {file}: ")
    database.create("restored")
    said = command(
        *("restore", file, "--runs-dir", tmp_path / "runs"),
        *("--database", database.url(database="restored")),
        *("--artifacts", f"s3://{BUCKET}/restored"),
    )
    assert "counted as in the backup" in said
    for query in (
        "SELECT username, password_hash FROM users ORDER BY 1",
        "SELECT run_uuid, artifact_uri FROM runs ORDER BY 1",
        "SELECT * FROM metrics ORDER BY 1, 2, 3, 4, 5",
    ):
        rows = database.query(query)
        assert rows != []
        assert database.query(query, database="restored") == rows
    assert {name for (name,) in database.query("SELECT username FROM users")} >= {"admin", "ann"}
    assert held(bucket[1], "restored") == held(bucket[1], PREFIX) != {}


def held(client, prefix):
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")["Contents"]
    return {item["Key"].removeprefix(prefix): (item["Size"], item["ETag"]) for item in listed}
