"""The surface that users rely on, and what a mistake on it costs: one line."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.cli import main, parse
from search.options import option_strings

DATA = ("--encoder", "--split-seed", "--max-train-docs", "--set")
BUDGETS = ("--compute-budget", "--disk-budget", "--patience")
ENDURANCE = ("--restart", "--hang-timeout")
GOLDEN = {
    "run": {
        *("--loss", "--tune", "--dataset", "--data", *DATA, "--preset", "--epochs", "--space"),
        "--precision",
        *("--trials", "--grace-period", "--reduction-factor", "--time-budget", "--seed"),
        *("--cpus-per-trial", "--gpus-per-trial", "--max-concurrent", "--address"),
        *("--checkpoint-every", "--start-from", "--objective", "--sampler", "--point", "--storage"),
        "--warm-start",
        *BUDGETS,
        *("--confirm", "--seeds"),
        *("--name", "--runs-dir", "--tracking-uri", *ENDURANCE, "--dry-run", "--json"),
    },
    "resume": {
        *("name", "--trials", "--add-trials", "--accept-changes", "--trust"),
        *("--time-budget", "--address", "--tracking-uri", "--runs-dir"),
        *("--storage", *BUDGETS, "--confirm", "--seeds", *ENDURANCE),
    },
    "list": {"--json", "--runs-dir"},
    "show": {"name", "--json", "--runs-dir"},
    "stop": {"name", "--trial", "--runs-dir"},
    "data": {"name", "--data", *DATA, "--json"},
    "space": {"--loss", "--tune", "--set", "--space"},
    "baseline": {
        *("kind", "--dataset", "--data", "--split-seed", "--max-train-docs", "--set"),
        *("--json", "--runs-dir", "--tracking-uri"),
    },
    "export": {"name", "--trial", "-o", "--output", "--runs-dir"},
    "sync": {"name", "--all", "--tracking-uri", "--json", "--runs-dir"},
    "report": {"name", "-o", "--output", "--runs-dir"},
    "compare": {
        *("--losses", "--gather", "--out", "--name", "--runs-dir", "--tracking-uri"),
        *("--tune", "--dataset", "--data", *DATA, "--preset", "--epochs", "--precision"),
        *("--trials", "--grace-period", "--reduction-factor", "--time-budget", "--seed"),
        *("--objective", "--sampler", *BUDGETS, "--confirm", "--seeds", "--address", "--storage"),
        *("--cpus-per-trial", "--gpus-per-trial", "--max-concurrent", "--checkpoint-every"),
    },
    "register": {"model", "--name", "--tracking-uri", "--runs-dir"},
}


def error_of(capsys) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_the_options_are_frozen():
    """A change here is a change for users: it goes into the changelog."""
    assert {
        name: set(options) - {"-h", "--help"} for name, options in option_strings().items()
    } == (GOLDEN)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rn"], "unknown command 'rn': did you mean 'run'? Allowed: run, resume, list, show"),
        (["run", "--trails", "3"], "unknown option '--trails': did you mean '--trials'?"),
        (["run", "--epoch=3"], "unknown option '--epoch': did you mean '--epochs'?"),
        (["run", "db"], "unknown argument 'db': see `python -m search run --help`"),
        (["run", "--trials", "many"], "--trials: must be a whole number, got 'many'"),
        (["run", "--trials", "1.5"], "--trials: must be a whole number, got '1.5'"),
        (["run", "--cpus-per-trial", "x"], "--cpus-per-trial: must be a number, got 'x'"),
        (
            ["run", "--time-budget", "2w"],
            "--time-budget: must be seconds or like 30m, 2h, got '2w'",
        ),
        (["run", "--loss"], "--loss: expected one argument"),
        (
            ["resume", "x", "--trials", "3", "--add-trials", "1"],
            "--add-trials: not allowed with argument --trials",
        ),
        (["export"], "the following arguments are required: NAME"),
    ],
)
def test_a_mistyped_command_is_one_line_and_exit_2(argv, message, capsys):
    assert main(argv) == 2
    assert error_of(capsys).startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("10s", 10)]
)
def test_time_budgets(text, seconds):
    assert parse(["run", "--time-budget", text]).time_budget == seconds


def test_settings_may_be_repeated():
    options = parse(["run", "--set", "dropout=0", "--set", "gamma=1"])
    assert options.settings == ["dropout=0", "gamma=1"]


def test_help_is_quick_and_imports_nothing_heavy():
    heavy = ("torch", "ray", "mlflow", "transformers", "optuna", "numpy", "rich", "yaml")
    code = f"""
import sys
from search.cli import main
try:
    main(["run", "--help"])
except SystemExit:
    pass
print([name for name in {heavy!r} if name in sys.modules])
"""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - start < 5  # 0.1 s when nobody else uses the machine


def test_the_module_is_the_entry():
    done = subprocess.run(
        [sys.executable, "-m", "search", "spase"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command 'spase': did you mean 'space'?")
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("search.cli._dispatch", raising(KeyboardInterrupt()))
    assert main(["space"]) == 130
    assert error_of(capsys) == "error: interrupted"


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("search.cli._dispatch", raising(OSError(28, "No space left on device")))
    assert main(["space"]) == 2
    assert error_of(capsys).startswith("error: the disk is full: free some space")


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("search.cli._dispatch", raising(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        main(["space"])


def raising(error: BaseException):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--loss", "bd"], "unknown loss 'bd': did you mean 'db'? Allowed: bce, fl"),
        (["--set", "gama=1"], "unknown setting 'gama': did you mean 'gamma'?"),
        (["--set", "gamma"], "--set takes name=value, got 'gamma'"),
        (["--set", "learning_rate=0"], "setting 'learning_rate' must lie in (0, 1], got 0.0"),
        (["--loss", "bce", "--set", "gamma=1"], "loss 'bce' has no hyperparameter 'gamma'"),
        (["--space", "no-such.yaml"], "--space no-such.yaml: cannot be read (No such file"),
    ],
)
def test_space_refuses_nonsense(argv, message, capsys):
    assert main(["space", *argv]) == 2
    assert error_of(capsys).startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: {low: 1e-3, high: 1e-5}", "space: low < high must hold for 'learning_ra"),
        ("learning_rate: {low: 0, high: 1e-5}", "space: setting 'learning_rate' must lie in (0,"),
        ("learnin_rate: {low: 1e-5, high: 1e-3}", "unknown setting in the space 'learnin_rate': d"),
        ("learning_rate: {low: 1e-5, hihg: 1e-3}", "unknown key of 'learning_rate' in the space"),
        ("cb_beta: [0.9, 0.99]", "space: loss 'db' has no hyperparameter 'cb_beta'"),
        ("seed: [3, 6]", "setting 'seed' cannot be searched: all trials of a search share it"),
        ("- gamma", "--space SPACE: must map names to ranges, as in 'learning_rate: {low: 1e-5"),
        ("gamma: {", "--space SPACE: not valid YAML"),
        ("learning_rate: 2024-13-45", "--space SPACE: not valid YAML (month must be in 1..12)"),
    ],
)
def test_a_space_file_is_checked(text, message, tmp_path, capsys):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    assert main(["space", "--space", str(path)]) == 2
    assert error_of(capsys).startswith(f"error: {message.replace('SPACE', str(path))}")


def test_space_prints_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / "space.yaml"
    path.write_text("batch_size: [16, 32]\n")
    assert main(["space", "--loss", "fl", "--space", str(path), "--set", "gamma=2"]) == 0
    out = capsys.readouterr().out
    assert "learning_rate" in out
    assert "16, 32" in out
    assert "gamma" not in out
    assert max(map(len, out.splitlines())) <= 80
