"""The rules of the house that a linter does not know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search", "spaces", "trainable", "mlflow_server", "benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50

# absent on a bare GPU machine, which has torch, transformers, numpy and safetensors
NOT_FOR_TRAINING = (
    "ray",
    "mlflow",
    "optuna",
    "sklearn",
    "pandas",
    "pyarrow",
    "iterstrat",
    "pooch",
    "rich",
    "matplotlib",
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_rooms_stay_small(path):
    source = path.read_text()
    assert source.count("\n") <= MAX_FILE_LINES, "split this file"
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_drawers_for_odds_and_ends():
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert [relative(path) for path in FILES if path.stem in drawers] == []


def test_spaces_is_ours():
    """A package of the same name is on the public index."""
    import spaces

    assert Path(spaces.__file__).parent == ROOT / "spaces"


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(240)
def test_training_needs_torch_and_transformers_alone():
    code = f"""
import sys
from importlib.machinery import PathFinder

class BareMachine(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.split(".")[0] in {NOT_FOR_TRAINING!r}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path = [BareMachine if finder is PathFinder else finder for finder in sys.meta_path]
import trainable.loop, trainable.evaluation, trainable.tokenization, trainable.__main__
import benchmarks.epoch, benchmarks.startup, benchmarks.evaluate, benchmarks.scale
import benchmarks.reference_loops
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        *("search.cli", "spaces", "trainable.config", "search.spec"),
        *("search.listing", "search.show", "search.stop", "search.supervisor"),
        "mlflow_server.__main__",
    ],
)
def test_the_command_line_starts_light(module):
    heavy = ("torch", "ray", "mlflow", "transformers", "matplotlib", "pandas", "sklearn")
    heavy += ("sqlalchemy", "alembic", "boto3", "psycopg")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = run_python(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
