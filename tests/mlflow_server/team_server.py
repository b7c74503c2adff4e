"""A team's server for tests: PostgreSQL, S3 and login, all real, on loopback."""

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import psutil

from tests.ports import free_port
from tests.postgres import PASSWORD as DATABASE_PASSWORD

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "team-bucket"
PREFIX = "some/runs"
PUBLIC_NAME = "mlflow.example.org"
S3_KEYS = {"AWS_ACCESS_KEY_ID": "key-of-a-test", "AWS_SECRET_ACCESS_KEY": "secret-of-a-test"}
# of whoever runs the tests: they must decide nothing here
FOREIGN = re.compile(r"(MLFLOW|PG|AWS|HTTPS?_PROXY|RAY)", re.IGNORECASE)


def clean_environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **variables}


@contextlib.contextmanager
def served_bucket():
    """An S3 server with one empty bucket; yields its address and a client."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield address, client
    finally:
        # what it holds outlives it in this process
        reset = urllib.request.Request(f"{address}/moto-api/reset", method="POST")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(reset).close()
        server.stop()


class TeamServer:
    """`python -m mlflow_server --config FILE` in a process of its own."""

    def __init__(self, folder, database, s3_address):
        self.runs = folder / "runs"
        self.port = free_port()
        self.proxy_port = free_port()  # where TLS ends
        self.config = folder / "server.yaml"
        password_file = folder / "database_password"
        password_file.touch(0o600)
        password_file.write_text(DATABASE_PASSWORD + "\n")
        self.config.write_text(
            f"runs_dir: runs\nport: {self.port}\ndatabase: {database}\n"
            "database_password_file: database_password\n"
            f"artifacts: s3://{BUCKET}/{PREFIX}\ns3_endpoint: {s3_address}\n"
            f"login: true\nallowed_hosts: [{PUBLIC_NAME}, 'localhost:{self.proxy_port}']\n"
            "workers: 1\n"
        )
        self.password = None
        self.said = []
        self._process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments):
        self.said = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow_server", "--config", str(self.config), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(**S3_KEYS, AWS_DEFAULT_REGION="us-east-1"),
        )
        for line in self._process.stdout:
            self.said.append(line)
            if line.startswith("MLflow serves"):
                return
        raise AssertionError(f"it ended: {self._process.wait()}, {self.said}")

    def stop(self):
        self._process.terminate()
        code = self._process.wait(60)
        self._process.stdout.close()
        return code

    def processes(self):
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def command(self, *arguments, **variables):
        """Another verb of the command, as the admin."""
        return subprocess.run(
            [sys.executable, "-m", "mlflow_server", *arguments, "--port", str(self.port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(MLFLOW_TRACKING_PASSWORD=self.password, **variables),
        )

    def ask(self, path, *, user=None, method=None, body=None, **headers):
        """Status and text of the answer; `user` is a pair of name and password."""
        with self.open(path, user=user, method=method, body=body, **headers) as response:
            return response.status, response.read().decode(errors="replace")

    def open(self, path, *, user=None, method=None, body=None, url=None, trusted=None, **headers):
        """The answer; `trusted` is the certificate of a server that speaks TLS."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            headers["Authorization"] = "Basic " + b64encode(":".join(user).encode()).decode()
        if body is not None and not isinstance(body, bytes):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(
            (url or self.url) + path, data=body, method=method, headers=headers
        )
        handlers = [urllib.request.ProxyHandler({})]
        if trusted is not None:
            context = ssl.create_default_context(cafile=trusted)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        try:
            return urllib.request.build_opener(*handlers).open(request, timeout=30)
        except urllib.error.HTTPError as error:
            return error
