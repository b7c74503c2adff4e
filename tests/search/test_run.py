"""What `run` does between the options and the trials; the trials themselves are in test_entry."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from search import run
from search.console import Terminal
from search.request import RunRequest
from search.spec import SearchSpec
from tests.tiny import tiny_encoder
from trainable.errors import UsageError

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
