"""What is noted of the origin of results."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search import provenance
from search.hardware import Hardware
from search.provenance import (
    DECIDING_MODULES,
    add_origin,
    code_digests,
    describe_origin,
    origins,
)
from search.tracking.documents import version_tags
from tests.search.test_spec import spec
from tests.tiny import tiny_encoder
from trainable.encoders import content_digest

ROOT = Path(__file__).resolve().parents[2]
HERE = Hardware(cpus=2, memory_gib=16.0, gpus=0, cpu_name="a cpu")


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return modules | {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }


def test_whatever_proposes_or_stops_is_among_the_deciding_modules():
    """A new sampler or scheduler must be named: it is known by what it imports."""
    for path in (ROOT / "search").glob("*.py"):
        names = {name for name in imports_of(path) if name.startswith(("optuna", "ray.tune"))}
        names -= {"optuna.exceptions", "ray.tune", "ray.tune.experiment"}
        assert not names or path.stem in DECIDING_MODULES, (path, names)
    for name in DECIDING_MODULES:
        assert (ROOT / "search" / f"{name}.py").is_file()


def test_code_is_its_text_wherever_it_lies(tmp_path):
    found = code_digests()
    on_disk = {p.relative_to(ROOT).as_posix() for p in (ROOT / "trainable").rglob("*.py")}
    assert on_disk <= found.keys()
    assert "spaces/ranges.py" in found
    assert "search/study.py" in found
    assert "search/tables.py" not in found

    for name in ("search", "spaces", "trainable"):  # without git, after a run, on Windows' lines
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "trainable/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "trainable/__pycache__/loop.cpython-311.pyc").write_bytes(b"x")
    loop = tmp_path / "trainable/loop.py"
    loop.write_bytes(loop.read_bytes().replace(b"\n", b"\r\n"))
    study = tmp_path / "search/study.py"
    study.write_text(study.read_text() + "# changed\n")
    code = (
        "import json; from search.provenance import code_digests; print(json.dumps(code_digests()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    copy = json.loads(done.stdout)
    assert {name for name in copy if copy[name] != found[name]} == {"search/study.py"}


def test_an_encoder_is_its_files(tmp_path):
    one, two = tiny_encoder(tmp_path / "one"), tiny_encoder(tmp_path / "two")
    assert content_digest(one) == content_digest(two)
    (two / "README.md").write_text("not read")
    assert content_digest(one) == content_digest(two)
    vocab = (two / "vocab.txt").read_text()
    (two / "vocab.txt").write_text(vocab + "more\n")
    assert content_digest(one) != content_digest(two)
    (two / "vocab.txt").write_text(vocab)
    other = tiny_encoder(tmp_path / "other", seed=1)  # of the same size
    shutil.copy(other / "model.safetensors", two)
    assert content_digest(one) != content_digest(two)


@pytest.fixture
def origin(tmp_path):
    encoder = tiny_encoder(tmp_path / "encoder")
    of = spec()
    of = of.replace(config=of.config.replace(encoder=str(encoder)))
    return describe_origin(of, HERE, tmp_path, data="d" * 64)


def test_the_first_origin_stays_and_later_ones_are_added(origin, tmp_path):
    assert origins(tmp_path) == []
    (tmp_path / "versions.json").write_text(json.dumps(origin))
    assert origins(tmp_path) == [{"attempt": 1, **origin}]
    second = {**origin, "python": "3.99.0"}
    add_origin(tmp_path, second, attempt=3)
    add_origin(tmp_path, origin, attempt=4)
    assert [o["attempt"] for o in origins(tmp_path)] == [1, 3, 4]
    assert origins(tmp_path)[1] == {"attempt": 3, **second}
    assert json.loads((tmp_path / "versions.json").read_text())["python"] == origin["python"]


def test_what_an_origin_tells(origin):
    numbers = origin["numbers"]
    assert (numbers["data"], numbers["precision"]) == ("d" * 64, numbers["precision"])
    assert numbers["precision"] in ("bf16", "fp32")
    assert numbers["search"]["config"]["loss"] == "db"
    assert "trials" not in numbers["search"]
    assert json.loads(json.dumps(origin)) == origin


def test_the_precision_of_a_cluster_is_not_guessed(tmp_path):
    encoder = tiny_encoder(tmp_path / "encoder")
    of = spec(address="host:6379")
    of = of.replace(config=of.config.replace(encoder=str(encoder)))
    assert describe_origin(of, HERE, tmp_path, data=None)["numbers"]["precision"] is None


def test_tags_are_versions_and_machine_alone(origin):
    tags = version_tags({**origin, "later": [{"attempt": 2, **origin}]})
    assert tags["version.torch"] == origin["packages"]["torch"]
    assert tags["machine.cpu"] == "a cpu"
    assert {t.partition(".")[2] for t in tags if t.startswith("version.")} == {
        *("python", "longtail-search", "torch", "transformers", "ray", "optuna", "scikit-learn")
    }
    assert len(tags) < 16


def test_outside_a_repository_there_is_no_commit(tmp_path):
    assert provenance.describe_versions(HERE, tmp_path)["git_commit"] is None
