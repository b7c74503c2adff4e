"""What a process that only computes is not told."""

import os
import subprocess
import sys

import pytest

from trainable.allocator import inherited
from trainable.child_environment import without_secrets

SECRET = (
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "PGPASSWORD"),
    *("PGPASSFILE", "HF_TOKEN", "OPENAI_API_KEY", "WANDB_KEY", "SENTRY_DSN", "GITHUB_TOKEN"),
    *("LONGTAIL_STORAGE", "LONGTAIL_TRACKING_URI", "AZURE_STORAGE_CONNECTION_STRING"),
    "GOOGLE_APPLICATION_CREDENTIALS",
)
PLAIN = (
    *("HOME", "PATH", "PWD", "OLDPWD", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LANG"),
    *("CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "LONGTAIL_CACHE", "REUTERS_DATA"),
    *("PYTHONPATH", "LD_LIBRARY_PATH", "XDG_STATE_HOME", "HF_HOME", "AWS_DEFAULT_REGION"),
    "RAY_AUTH_TOKEN",
)


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_by_its_name(name):
    assert without_secrets({name: "x"}) == {name: None}


@pytest.mark.parametrize("name", PLAIN)
def test_what_a_worker_needs_stays(name):
    assert without_secrets({name: "/some/where"}) == {}


def test_a_password_in_an_address_whatever_its_name():
    assert without_secrets({"URL": "postgresql://ann:pw@host/db"}) == {"URL": None}
    assert without_secrets({"URL": "http://host/?x=1&token=abc"}) == {"URL": None}
    assert without_secrets({"URL": "http://host:5000/ab", "NO": "https://ann@host"}) == {}
    assert without_secrets({"X": "a;b=1", "LIST": "--tokenizer=x --key=value", "Q": "x?y"}) == {}
    for value in (
        "postgresql://h/d?user=a&passwd=x",
        "http://h/?api_key=z",
        "http://h/?access_token=z",
        "http://h/b?X-Amz-Signature=z",
        "host=h password=x dbname=d",
        "DefaultEndpointsProtocol=https;AccountKey=x",
    ):
        assert without_secrets({"ANY": value}) == {"ANY": None}


def test_a_child_does_not_have_it_and_its_owner_keeps_it(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    code = "import os; print(os.environ.get('MLFLOW_TRACKING_PASSWORD'))"
    with inherited(without_secrets(os.environ)):
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    assert said.stdout == "None\n"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter2"
