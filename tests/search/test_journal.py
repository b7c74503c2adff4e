import errno
import json
import time

import pytest

from search.journal import Journal, finite_metrics, read_journal
from trainable.errors import UsageError


def test_events_come_back_in_order_with_their_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    before = time.time()
    journal = Journal(path)
    first = journal.append("search_started", attempt=1)
    journal.append("trial_started", trial=0, params={})
    journal.append("epoch", trial=0, epoch=1, metrics={"val/micro_f1": 0.5})
    events = read_journal(path)
    assert [event["event"] for event in events] == ["search_started", "trial_started", "epoch"]
    assert events[0] == first
    assert before <= events[0]["time"] <= events[2]["time"] <= time.time()
    assert events[2]["metrics"] == {"val/micro_f1": 0.5}


def test_no_file_is_an_empty_journal(tmp_path):
    assert read_journal(tmp_path / "journal.jsonl") == []


@pytest.mark.parametrize("torn", ['{"event": "epo', '{"event": "epoch"}', "{"])
def test_a_torn_last_line_is_ignored_and_the_next_writer_cuts_it_off(tmp_path, torn):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("search_started", attempt=1)
    with path.open("a") as file:
        file.write(torn)
    assert [event["event"] for event in read_journal(path)] == ["search_started"]
    Journal(path).append("search_ended", status="interrupted", reason="")
    assert [event["event"] for event in read_journal(path)] == ["search_started", "search_ended"]


def test_every_line_is_json_and_on_the_disk_at_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for epoch in range(3):
        journal.append("epoch", trial=0, epoch=epoch, metrics={})
        assert len(path.read_text().splitlines()) == epoch + 1
    for line in path.read_text().splitlines():
        json.loads(line)


def test_a_line_break_in_a_reason_stays_one_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("search_ended", status="failed", reason="a\nb")
    assert read_journal(path)[0]["reason"] == "a\nb"


def test_nan_is_refused_and_finite_metrics_drops_it(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        Journal(tmp_path / "journal.jsonl").append("epoch", metrics={"train/loss": float("nan")})
    result = {"train/loss": float("nan"), "epoch": 1, "done": True, "end_status": "", "x": 0.5}
    assert finite_metrics(result) == {"epoch": 1, "x": 0.5}


def test_a_disk_that_is_full_for_a_moment_leaves_no_gap(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("search_started", attempt=1)
    with monkeypatch.context() as patch:

        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("search.journal.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append("trial_started", trial=0, params={})
    assert path.read_bytes().count(b"\n") == 1
    with pytest.raises(OSError, match="No space left"):  # there is room again: too late
        journal.append("epoch", trial=0, epoch=1, metrics={})
    journal.append("search_ended", status="failed", reason="")
    assert [event["event"] for event in read_journal(path)] == ["search_started", "search_ended"]


def test_a_confirmation_is_of_trials_and_runs_that_were_started(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("trial_started", trial=0, params={})
    journal.append("confirm_planned", trials=[0], seeds=[1, 2], paper=0)
    pair = {"trial": 0, "seed": 1}
    journal.append("confirm_started", **pair)
    journal.append("confirm_epoch", **pair, epoch=1, metrics={})
    journal.append("confirm_ended", **pair, status="completed")
    assert len(read_journal(path)) == 5
    for kind, fields in (
        ("confirm_ended", {"trial": 0, "seed": 2, "status": "completed"}),
        ("confirm_started", {"trial": 1, "seed": 1}),
        ("confirm_epoch", {**pair, "epoch": 1}),
    ):
        other = tmp_path / f"{kind}.jsonl"
        other.write_bytes(path.read_bytes())
        Journal(other).append(kind, **fields)
        told = "is damaged" if kind == "confirm_epoch" else "tells of a trial that never started"
        with pytest.raises(UsageError, match=f"line 6 {told}"):
            read_journal(other)
