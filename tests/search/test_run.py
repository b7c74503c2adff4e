"""What `run` does between the options and the trials; the trials themselves are in test_entry."""

import contextlib
import dataclasses
import errno
import io
import json

import pytest
from rich.console import Console

from search import preflight, run, tuner
from search.cli import main
from search.console import Terminal
from search.hardware import Hardware
from search.request import RunRequest
from search.spec import SearchSpec
from tests.search_folder import append_events, write_search_folder
from tests.small_search import make_folder, small_spec
from tests.tiny import tiny_encoded, tiny_encoder
from trainable.errors import UsageError, UserError

LABELS = 12


@pytest.fixture
def many_labels(tmp_path, monkeypatch):
    """A request on data with more labels than the preset has training documents."""
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(run, "_search", lambda *_: 0)
    path = tmp_path / "own.jsonl"
    rows = [
        {"text": f"w{n} w{label}", "labels": [f"l{label}"], "split": split}
        for label in range(LABELS)
        for n, split in enumerate(["train", "train", "val", "test"])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = tiny_encoder(tmp_path / "encoder")
    return RunRequest(
        preset="smoke",
        data=str(path),
        encoder=str(encoder),
        name="s",
        runs_dir=str(tmp_path / "runs"),
    )


def with_preset_limit(monkeypatch, limit):
    real = run.resolve

    def resolve(request, hardware, *, mu=None):
        spec = real(request, hardware, mu=mu)
        if request.max_train_docs is not None:
            return spec
        return spec.replace(config=spec.config.replace(max_train_docs=limit))

    monkeypatch.setattr(run, "resolve", resolve)


def test_a_preset_makes_room_for_every_label(many_labels, tmp_path, monkeypatch):
    with_preset_limit(monkeypatch, 5)
    err = io.StringIO()
    terminal = Terminal(Console(file=io.StringIO()), Console(file=err))
    assert run.run_search(many_labels, terminal) == 0
    spec = SearchSpec.load(tmp_path / "runs" / "s" / "spec.yaml")
    assert spec.config.max_train_docs == LABELS
    assert "12 training documents instead of the preset's 5: every label" in err.getvalue()


def test_a_limit_of_the_user_is_not_changed(many_labels, tmp_path):
    request = dataclasses.replace(many_labels, max_train_docs=5)
    with pytest.raises(UsageError, match="'max_train_docs' must be at least 12"):
        run.run_search(request, Terminal(Console(file=io.StringIO())))
    assert not (tmp_path / "runs" / "s").exists()


@pytest.fixture
def resume(tmp_path, capsys, monkeypatch):
    """Resume a search that must be refused; the error line."""
    write_search_folder(tmp_path / "runs/mine")
    monkeypatch.setattr(preflight, "check_machine", lambda *_: None)

    def refused(*said) -> str:
        monkeypatch.setattr(run, "_search", lambda *_: pytest.fail("it ran"))
        assert main(["resume", "mine", *said, "--runs-dir", str(tmp_path / "runs")]) == 2
        return capsys.readouterr().err

    return refused


@pytest.mark.parametrize(
    ("cpus", "memory_gib", "processes"), [(8, 64.0, 8), (64, 16.0, 10), (4, 1.0, 1)]
)
def test_features_take_no_more_than_the_container_gives(
    many_labels, monkeypatch, cpus, memory_gib, processes
):
    seen = []

    def with_features(data, _config, *, processes, on_progress):  # noqa: ARG001
        seen.append(processes)
        return data

    monkeypatch.setattr("trainable.features.with_features", with_features)
    hardware = Hardware(cpus=cpus, memory_gib=memory_gib, gpus=0)
    request = dataclasses.replace(many_labels, tune="head")
    config = run.resolve(request, hardware).longest.replace(max_train_docs=None)
    run.read_data(config, Terminal(*[Console(file=io.StringIO())] * 2), hardware)
    assert seen == [processes]


def denied(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_resume_in_a_folder_that_cannot_be_written(resume, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_read_only", lambda _: True)  # root may write anywhere else
    place = tmp_path / "runs/mine"
    assert resume() == (
        f"error: --runs-dir {place}: {place} cannot be written; choose another one\n"
    )


def test_resume_of_a_search_that_refuses_after_all(resume, tmp_path, monkeypatch):
    (tmp_path / "runs/mine/search.lock").mkdir()
    message = resume()
    assert message == (
        f"error: --runs-dir {tmp_path}/runs: cannot be written (Is a directory); "
        "choose another folder\n"
    )
    (tmp_path / "runs/mine/search.lock").rmdir()
    data = run.Data(encoded=tiny_encoded(), description={"fingerprint": "ab" * 32}, mu=0.9)
    monkeypatch.setattr(run, "read_data", lambda *_: data)
    monkeypatch.setattr(SearchSpec, "save", denied)
    assert "/runs: cannot be written (Permission denied); choose another folder" in resume()


def test_resume_on_a_full_disk(resume, monkeypatch):
    usage = preflight.shutil.disk_usage("/")._replace(free=100 * 2**20)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage)
    assert "0.1 GiB are free; free some space or choose another folder" in resume()


def test_resume_with_seeds_for_nothing(resume):
    assert resume("--seeds", "4") == (
        "error: --seeds is for --confirm K: say how many configurations to confirm\n"
    )


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A search that has its folder; Ray is not started."""

    @contextlib.contextmanager
    def no_ray(*_, **__):
        yield tmp_path

    monkeypatch.setattr(tuner, "ray_instance", no_ray)
    monkeypatch.setattr(tuner, "prepare_environment", lambda **_: None)
    spec = small_spec(tmp_path / "runs")
    make_folder(spec, {})
    return spec


def test_a_journal_that_fails_in_mid_search_is_one_line(spec, monkeypatch):
    def broken(self, workshop, remaining):  # noqa: ARG001
        workshop.switch.throw(
            "failed", "cannot record the search: [Errno 28] No space left on device"
        )

    monkeypatch.setattr(tuner._Attempt, "fit", broken)
    with pytest.raises(UserError) as caught:
        tuner.run_trials(spec, tiny_encoded(), trainable=object)
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "cannot record the search: [Errno 28] No space left on device; free space or check "
        f"{spec.folder}, then `python -m search resume small`"
    )


def test_a_journal_that_cannot_be_begun_is_one_line(spec):
    (spec.folder / "journal.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot record the search: .*Is a directory") as caught:
        tuner.run_trials(spec, tiny_encoded())
    assert caught.value.exit_code == 1


def test_a_damaged_study_is_one_line(spec):
    path = spec.folder / "study.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(UsageError) as caught:
        tuner.run_trials(spec, tiny_encoded())
    assert str(caught.value) == (
        f"{path}: cannot be used as the study of the search (file is not a database): "
        "restore the file, or start a new search"
    )


def test_results_that_cannot_be_written(spec, monkeypatch, capsys):
    """What ended the search is told, not that its results are gone too."""
    monkeypatch.setattr(run, "write_summary", denied)
    terminal = Terminal()
    monkeypatch.setattr(run, "run_trials", raising(UserError("no trial may run")))
    with pytest.raises(UserError, match="no trial may run"):
        run._search(spec, tiny_encoded(), terminal)
    assert "warning: the results could not be summed up: " in capsys.readouterr().err
    monkeypatch.setattr(run, "run_trials", lambda *_, **__: None)
    with pytest.raises(UserError) as caught:
        run._search(spec, tiny_encoded(), terminal)
    assert str(caught.value) == (
        f"{spec.folder}: the results cannot be written (Permission denied): free space or check "
        "the folder, then `python -m search resume small`"
    )


def raising(error: Exception):
    def fail(*_, **__):
        raise error

    return fail


def test_a_search_that_ends_without_test_scores_says_so(tmp_path, monkeypatch):
    folder = write_search_folder(tmp_path / "runs/mine")
    why = "no test scores: CUDA is gone"
    ended = {"event": "search_ended", "status": "completed", "reason": why, "time": 2e9}
    append_events(folder, [ended])
    monkeypatch.setattr(run, "run_trials", lambda *_, **__: None)
    monkeypatch.setattr(run, "Tracker", StandIn)
    out = io.StringIO()
    terminal = Terminal(Console(file=out), Console(file=io.StringIO()))
    spec = SearchSpec.load(folder / "spec.yaml")
    assert run._search(spec, None, terminal) == 0
    (folder / "test_report.json").unlink()
    with pytest.raises(UserError) as caught:
        run._search(spec, None, terminal)
    assert str(caught.value) == (
        f"trial 2 has no test scores ({why}); score it with `python -m search resume mine`"
    )
    assert (folder / "summary.json").exists()
    assert "best 5 trials" in out.getvalue()


class StandIn:
    """A tracker, or a progress view, that notes what is asked of it."""

    links = ("link",)

    def __init__(self, *_, **__):
        self.calls = calls_of_trackers
        self.calls.clear()

    def start(self):
        self.calls.append("start")

    def close(self, _):
        self.calls.append("close")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


calls_of_trackers: list[str] = []


def test_a_resume_that_only_scores_the_test_set_is_tracked_too(tmp_path, monkeypatch):
    folder = write_search_folder(tmp_path / "runs" / "s")
    record = run.load_search(folder)
    monkeypatch.setattr(run, "Progress", StandIn)
    monkeypatch.setattr(run, "Tracker", StandIn)
    monkeypatch.setattr(run, "run_trials", lambda *_, **__: None)  # no trial is left
    monkeypatch.setattr(run, "_draw", lambda *_: None)
    spec = record.spec.replace(runs_dir=str(tmp_path / "runs"), name="s")
    run._search(spec, None, Terminal(Console(file=io.StringIO())))
    assert calls_of_trackers == ["start", "close"]
