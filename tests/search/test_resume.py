"""What `resume` asks before it goes on, and what it leaves behind; Ray is not started."""

import contextlib
import csv
import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from search import preflight, provenance, resume, run, strangers, tuner
from search.cli import main
from search.hardware import Hardware
from search.journal import read_journal
from search.results import load_search
from search.spec import SearchSpec
from tests.search.test_run import StandIn
from tests.search_folder import append_events, write_search_folder
from tests.tiny import tiny_encoded

HERE = Hardware(cpus=2, memory_gib=16.0, gpus=0, cpu_name="a cpu")


@dataclasses.dataclass
class Room:
    """A search that ran to its end and could run here."""

    folder: Path
    capsys: pytest.CaptureFixture

    def resume(self, *argv: str) -> tuple[int, str, str]:
        code = main(["resume", "mine", "--runs-dir", str(self.folder.parent), *argv])
        return code, *self.capsys.readouterr()

    def refused(self, *argv: str) -> str:
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        code, _, err = self.resume(*argv)
        assert code == 2
        now = {p: p.read_bytes() for p in self.folder.iterdir() if p.name != "search.lock"}
        assert now == {path: text for path, text in before.items() if path.name != "search.lock"}
        [line] = err.splitlines()
        return line.removeprefix("error: ")

    def edit(self, **changes) -> None:
        path = self.folder / "spec.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))

    @property
    def spec(self) -> SearchSpec:
        return SearchSpec.load(self.folder / "spec.yaml")

    @property
    def versions(self):
        return json.loads((self.folder / "versions.json").read_text())


class Deaf(StandIn):
    """A progress view."""

    def __call__(self, _):
        pass


@pytest.fixture
def room(tmp_path, capsys, monkeypatch):
    """All trials have ended but for trial 5."""

    @contextlib.contextmanager
    def no_ray(*_, **__):
        yield tmp_path

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(tuner, "ray_instance", no_ray)
    monkeypatch.setattr(tuner, "prepare_environment", lambda **_: None)
    monkeypatch.setattr(tuner._Attempt, "fit", lambda *_: None)
    monkeypatch.setattr(preflight, "check_machine", lambda *_: None)
    monkeypatch.setattr(run, "detect_hardware", lambda: HERE)
    monkeypatch.setattr(run, "Progress", Deaf)
    monkeypatch.setattr(run, "Tracker", StandIn)
    monkeypatch.setattr(run, "_draw", lambda *_: None)
    read = run.Data(encoded=tiny_encoded(), description={"fingerprint": "ab" * 32}, mu=0.9)
    monkeypatch.setattr(run, "read_data", lambda *_: read)

    folder = write_search_folder(tmp_path / "runs" / "mine")
    room = Room(folder, capsys)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text('{"model_type": "bert"}')
    for name in ("vocab.txt", "model.safetensors"):
        (encoder / name).write_text("never loaded")
    settings = {"encoder": str(encoder), "tune": "head", "precision": "fp32"}
    room.edit(config={**room.spec.config.to_mapping(), **settings})
    told = provenance.describe_origin(room.spec, HERE, tmp_path, data="ab" * 32)
    (folder / "versions.json").write_text(json.dumps(told))
    strangers.vouch(room.spec)
    capsys.readouterr()
    return room


@pytest.fixture
def newer_torch(room, monkeypatch):  # noqa: ARG001
    """After the search has begun."""
    real = provenance._version
    monkeypatch.setattr(
        provenance, "_version", lambda name: "9.9.9" if name == "torch" else real(name)
    )


def changes_of(room):
    starts = [
        e for e in read_journal(room.folder / "journal.jsonl") if e["event"] == "search_started"
    ]
    return [start.get("changes") for start in starts]


def test_a_search_that_is_what_it_was_goes_on_without_a_word(room):
    code, out, err = room.resume()
    assert (code, err) == (0, "")
    assert "not as it was" not in out
    assert changes_of(room) == [None, None]
    assert "later" not in room.versions
    assert load_search(room.folder).accepted_changes == ()


@pytest.mark.usefixtures("newer_torch")
def test_other_versions_are_shown_and_refused(room):
    code, out, err = room.resume()
    assert code == 2
    assert err == (
        "error: search 'mine' is not what it was (see the table above), and its trials may not "
        "compare any more: restore that, or go on with --accept-changes\n"
    )
    torch = room.versions["packages"]["torch"].partition("+")[0]
    assert ["torch", torch, "9.9.9"] in [line.split() for line in out.splitlines()]
    room.refused()


@pytest.mark.usefixtures("newer_torch")
def test_accepted_changes_stay_visible(room, monkeypatch):
    first = room.versions
    code, out, err = room.resume("--accept-changes")
    assert (code, err) == (0, "")
    torch = first["packages"]["torch"].partition("+")[0]
    row = {"what": "torch", "then": torch, "now": "9.9.9"}
    assert changes_of(room) == [None, [row]]
    [later] = room.versions["later"]
    assert {k: v for k, v in room.versions.items() if k != "later"} == first
    assert (later["attempt"], later["packages"]["torch"]) == (2, "9.9.9")
    assert f"from attempt 2 on torch {torch} -> 9.9.9" in " ".join(out.split())
    summary = json.loads((room.folder / "summary.json").read_text())
    assert summary["accepted_changes"] == [{"attempt": 2, "changes": [row]}]

    code, out, err = room.resume()  # not asked again
    assert (code, err) == (0, "")
    assert "not as it was" not in out
    assert changes_of(room) == [None, [row], None]
    monkeypatch.setattr(provenance, "_version", lambda name: first["packages"].get(name))
    assert "is not what it was" in room.refused()  # the last attempt's versions count


@pytest.mark.usefixtures("newer_torch")
def test_whoever_is_killed_before_the_journal_says_so_is_asked_again(room, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_trials", killed)
    before = room.versions
    room.resume("--accept-changes")
    assert room.versions == before
    assert "is not what it was" in room.refused()


def test_a_range_that_was_edited_by_hand(room):
    space = room.spec.space.to_mapping()
    space["dimensions"][1]["high"] = 9.0
    room.edit(space=space)
    _, out, err = room.resume()
    assert "space: gamma" in out
    assert "is not what it was" in err
    assert room.resume("--accept-changes")[0] == 0
    assert room.spec.space.dimensions[1].high == 9.0


def test_what_no_study_can_go_on_with_is_refused_in_any_case(room):
    space = room.spec.space.to_mapping()
    space["dimensions"][1]["log"] = True
    room.edit(space=space)
    message = "'gamma' is searched as a logarithmic range of numbers and was as a linear range"
    assert room.refused("--accept-changes").startswith(message)


def test_other_data_are_refused_in_any_case(room, monkeypatch):
    other = run.Data(encoded=tiny_encoded(), description={"fingerprint": "cd" * 32}, mu=0.9)
    monkeypatch.setattr(run, "read_data", lambda *_: other)
    for argv in ((), ("--accept-changes",)):
        assert room.refused(*argv) == (
            "the data of search 'mine' have changed since it began, and scores on other data do "
            "not compare: restore them, or start a new search"
        )


def test_another_machine_is_a_warning(room, monkeypatch):
    monkeypatch.setattr(run, "detect_hardware", lambda: dataclasses.replace(HERE, cpu_name="b cpu"))
    code, _, err = room.resume()
    assert code == 0
    assert err == (
        "warning: another machine than before, so numbers may round apart: cpu a cpu -> b cpu\n"
    )
    monkeypatch.setattr(resume, "machine_differences", lambda *_: pytest.fail("asked"))
    room.edit(address="host:6379")  # the driver trains nothing there
    assert room.resume("--trust")[0] == 0


def files_of(room):
    paths = (path for path in room.folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths if path.name != "search.lock"}


def test_an_address_that_somebody_wrote_into_it_is_asked_for_first(room):
    room.edit(address="evil:6379", tracking_uri="http://evil:5000")
    before = files_of(room)
    code, out, err = room.resume()
    assert (code, out) == (2, "")
    assert err.startswith(
        "error: search 'mine' has no mark that you began it with these values on this machine. It "
        "would run on the Ray cluster evil:6379, which can run code here; record in "
        "http://evil:5000 with your rights; read the encoder /"
    )
    assert err.endswith(
        "Go on with `python -m search resume mine --trust`, or with --address, --storage or "
        "--tracking-uri of your own\n"
    )
    assert files_of(room) == before
    assert room.resume("--trust")[0] == 0
    assert room.resume()[0] == 0  # it is this user's now


def test_a_search_without_versions_goes_on(room):
    (room.folder / "versions.json").unlink()
    assert room.resume()[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--add-trials", "0"), "--add-trials must be at least 1, got 0"),
        (("--add-trials", "-2"), "--add-trials must be at least 1, got -2"),
        (("--trials", "3"), "--trials must be at least the search's 6, got 3"),
    ],
)
def test_fewer_trials_are_refused(room, argv, message):
    assert room.refused(*argv) == message


def test_more_trials(room):
    assert room.resume("--add-trials", "4")[0] == 0
    assert room.spec.trials == 10
    assert room.resume("--add-trials", "1")[0] == 0
    assert room.spec.trials == 11
    assert room.resume("--trials", "12", "--time-budget", "1h")[0] == 0
    assert (room.spec.trials, room.spec.time_budget_s) == (12, 3600.0)


def end_of_trial_5(room):
    rows = [
        {"event": "search_started", "attempt": 2},
        {"event": "trial_started", "trial": 6, "params": {"gamma": 1.5}, "resumes": 5},
        {"event": "trial_ended", "trial": 6, "status": "failed", "reason": ""},
        {"event": "search_ended", "status": "completed", "reason": ""},
    ]
    append_events(room.folder, [{**row, "time": 2e9 + n} for n, row in enumerate(rows)])


@pytest.mark.usefixtures("newer_torch")
def test_nothing_is_left_to_do(room, monkeypatch):
    end_of_trial_5(room)
    with monkeypatch.context() as patched:
        patched.setattr(run, "read_data", lambda *_: pytest.fail("the data were read"))
        journal = (room.folder / "journal.jsonl").read_bytes()
        code, out, err = room.resume("--time-budget", "1h")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == (
            "nothing was left to do: 6 trials have ended and the best one has its test scores; "
            "--add-trials N extends the search"
        )
        assert "best 5 trials" in out  # whatever could not be written before is written now
        assert (room.folder / "journal.jsonl").read_bytes() == journal
        assert (room.folder / "summary.json").exists()
    assert "is not what it was" in room.refused("--add-trials", "1")
    (room.folder / "test_report.json").unlink()  # the winner's scores are left to do
    assert "is not what it was" in room.refused()


def test_results_tell_which_attempt_ran_a_trial(room):
    end_of_trial_5(room)
    assert [trial.attempt for trial in load_search(room.folder).trials] == [1] * 6 + [2]
    room.resume("--add-trials", "1")
    with (room.folder / "trials.csv").open(newline="") as file:
        assert [row["attempt"] for row in csv.DictReader(file)] == ["1"] * 6 + ["2"]
