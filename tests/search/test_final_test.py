"""What the test evaluation says of weights that are there, lost, or trained again."""

import json

import pytest
import torch

from search import final_test
from search.events import EventLog
from search.journal import Journal
from tests.small_search import small_spec
from trainable.predictions import LabelSets, Predictions
from trainable.weights import keep_if_best

REPORT = {"micro_f1": 0.6, "macro_f1": 0.3}


@pytest.fixture
def score(tmp_path, monkeypatch):
    """Scores trial 4 after epoch 2; `evaluate` gets the weights file in place of a Ray task."""
    spec = small_spec(tmp_path)
    spec.folder.mkdir()
    events = EventLog(Journal(spec.folder / "journal.jsonl"))
    params = spec.space.paper_point()
    events.emit("trial_started", trial=4, params=params)
    metrics = {"best/objective": 0.5, "best/epoch": 2, "best/threshold": 0.3}
    events.emit("epoch", trial=4, epoch=2, metrics=metrics)

    def run(evaluate, *, kept_epoch=None):
        if kept_epoch:
            keep_if_best(
                spec.folder / "weights",
                4,
                objective=0.5,
                epoch=kept_epoch,
                threshold=0.3,
                state={"w": torch.zeros(1)},
            )
        monkeypatch.setattr(
            final_test, "_run_remotely", lambda _spec, _winner, _data, path, *_: evaluate(path)
        )
        note = final_test.score_winner(spec, events, None, evaluate, None)
        path = spec.folder / "test_report.json"
        return note, json.loads(path.read_text()) if path.exists() else None

    return run


def test_kept_weights_need_no_word(score):
    note, report = score(lambda path: {**REPORT, "file": path.name}, kept_epoch=2)
    assert note == ""
    assert report == {"trial": 4, "epoch": 2, **REPORT, "file": "trial-00004.safetensors"}


@pytest.mark.parametrize("kept_epoch", [None, 1])
def test_lost_weights_and_those_of_another_epoch_are_trained_again(score, kept_epoch):
    def evaluate(path):
        assert path is None
        return {**REPORT, "retrained_objective": 0.5}

    note, report = score(evaluate, kept_epoch=kept_epoch)
    assert note == "the weights of trial 4 after epoch 2 were lost: it was trained again"
    assert report["micro_f1"] == 0.6


def test_another_device_may_train_it_to_another_score(score):
    note, _ = score(lambda _: {**REPORT, "retrained_objective": 0.48})
    assert note == (
        "the weights of trial 4 after epoch 2 were lost: it was trained again, "
        "to 0.4800 instead of 0.5000 on validation"
    )


def test_no_scores_with_the_reason(score):
    def fails(_):
        raise RuntimeError("no GPU\nCUDA is gone")

    assert score(fails) == (
        "no test scores: the weights of trial 4 after epoch 2 were lost: it was trained again, "
        "and then: CUDA is gone",
        None,
    )
    assert score(fails, kept_epoch=2) == ("no test scores: CUDA is gone", None)


def test_predictions_are_kept_beside_the_report(score, tmp_path):
    predictions = Predictions(
        documents=("a", "b"),
        label_names=("x",),
        groups=("head",),
        threshold=0.3,
        predicted=LabelSets.of([(0,), ()]),
        true=LabelSets.of([(0,), (0,)]),
    )
    _, report = score(lambda _: {**REPORT, "predictions": predictions}, kept_epoch=2)
    assert report == {"trial": 4, "epoch": 2, **REPORT}
    [path] = tmp_path.rglob("test_predictions.npz")
    assert Predictions.load(path).documents == ("a", "b")
