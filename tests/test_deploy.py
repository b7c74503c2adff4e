"""The files of deploy/ against the command that they run: options, names, versions, addresses."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from mlflow_server.options import server_settings
from mlflow_server.sizing import sized
from mlflow_server.verbs import parse

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "longtail-search.service").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
NGINX = (DEPLOY / "nginx.conf").read_text()
EXAMPLE = DEPLOY / "server.example.yaml"
OF_COMPOSE = DEPLOY / "server.compose.yaml"
CONFIG = "/etc/longtail-search/server.yaml"


def settings(words, config=EXAMPLE):
    """What the server would be told, with our file in the place of the one named."""
    return server_settings(parse([word.replace(CONFIG, str(config)) for word in words]))


def test_the_example_is_a_team():
    said = settings(["--config", str(EXAMPLE)])
    assert said.login
    assert said.workers is None
    assert said.allowed_hosts == ("mlflow.example.org",)
    assert f"server_name {said.allowed_hosts[0]};" in NGINX
    assert f"server {said.host}:{said.port};" in NGINX


def test_compose_is_told_what_the_example_explains():
    def names(path):
        return set(yaml.safe_load(path.read_text()))

    assert names(OF_COMPOSE) == names(EXAMPLE)


def test_no_secret_is_committed_or_sent_to_a_builder():
    beside = [path for path in re.findall(r"\./([\w.]+)", (DEPLOY / "compose.yaml").read_text())]
    own = {name for name in beside if not (DEPLOY / name).exists()}
    assert own == {"server.yaml", "secrets", "state", "tls"}
    ignored = (ROOT / ".gitignore").read_text()
    assert all(f"/deploy/{name}" in ignored for name in own)
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (\S+)", DOCKERFILE, re.M)
    assert "*" in sent
    assert [line[1:] for line in sent if line.startswith("!")] == copied


def test_commands_shown_are_understood():
    pages = [path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md"]
    shown = []
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        shown += re.findall(r"^ {4,}.*?(?:-m mlflow_server|--rm server)( .*)?$", text, re.M)
    assert len(shown) >= 15
    for words in shown:
        parse(shlex.split(words, comments=True))


def test_the_unit_runs_the_command_with_secrets_that_systemd_hands_over():
    program, module, name, *words = shlex.split(re.search(r"^ExecStart=(.+)$", UNIT, re.M)[1])
    assert (module, name) == ("-m", "mlflow_server")
    said = settings(words)
    handed = re.findall(r"^LoadCredential=(\w+):", UNIT, re.M)
    assert [said.database_password_file.name, said.admin_password_file.name] == handed
    assert program.startswith(re.search(r"^WorkingDirectory=(.+)$", UNIT, re.M)[1])
    state = re.search(r"^StateDirectory=(.+)$", UNIT, re.M)[1]
    assert said.runs_dir == Path("/var/lib") / state  # all else is read-only


def test_systemd_understands_the_unit(tmp_path):
    program = shutil.which("systemd-analyze") or pytest.skip("no systemd")
    path = tmp_path / "longtail-search.service"
    path.write_text(UNIT.replace("/opt/longtail-search/.venv/bin/python", "/bin/true"))
    done = subprocess.run(
        [program, "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if path.name in line]
    assert ours == []


def test_compose_runs_the_command_beside_its_proxy_and_shows_nothing_else():
    services = COMPOSE["services"]
    server = services["server"]
    command = json.loads(re.search(r"^CMD (.+)$", DOCKERFILE, re.M)[1])
    said = settings(command, OF_COMPOSE)
    assert said.login
    assert said.host == "127.0.0.1"
    assert server["network_mode"] == "service:proxy"
    assert f"http://127.0.0.1:{said.port}/health" in server["healthcheck"]["test"][-1]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    mounted = [volume.split(":")[1] for volume in server["volumes"]]
    assert mounted == [CONFIG, str(said.runs_dir)]
    assert CONFIG in command
    for path in (said.database_password_file, said.admin_password_file):
        assert path.parent == Path("/run/secrets")
        assert path.name in server["secrets"]
    assert said.database.endswith("://mlflow@postgres:5432/mlflow")
    environment = services["postgres"]["environment"]
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("mlflow", "mlflow")


def test_compose_holds_no_password_and_only_pinned_images():
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    images = [s["image"] for s in COMPOSE["services"].values() if "image" in s]
    images += re.findall(r"^FROM (\S+)$", DOCKERFILE, re.M)
    assert all(re.search(r":\d+\.\d+", image) for image in images)
    used = {name for s in COMPOSE["services"].values() for name in s.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])


def test_the_database_of_compose_has_room_for_four_workers():
    command = COMPOSE["services"]["postgres"]["command"]
    connections = int(re.fullmatch(r"max_connections=(\d+)", command[-1])[1]) - 3
    assert sized(None, cores=8, connections=connections)[0] == 4


def test_backups_are_written_by_postgresqls_own_version():
    client = re.search(r"postgresql-client-(\d+)", DOCKERFILE)[1]
    assert COMPOSE["services"]["postgres"]["image"].startswith(f"postgres:{client}.")


def test_the_image_has_what_a_team_needs_by_pinned_versions():
    installed = re.search(r"^RUN pip install .*-c constraints.txt (.+)$", DOCKERFILE, re.M)[1]
    names = {name.partition("[")[0].lower() for name in shlex.split(installed)}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower() for line in lines}
    assert names <= pins
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*extras["team"], *extras["postgres"]]
    wanted = {re.match(r"[\w-]+", one)[0].lower() for one in needed} - {"longtail-search"}
    assert wanted | {"mlflow", "pyyaml"} == names
