import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import f1_score

from search.events import EventLog
from search.final_test import find_weights
from search.final_test import test_is_due as is_due
from search.journal import Journal, read_journal
from search.winner import choose_winner, drop_stale_weights, evaluate_on_test, same_training
from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import TrialConfig
from trainable.loop import TrainingSession
from trainable.weights import keep_if_best


def started(trial):
    return {"event": "trial_started", "trial": trial, "params": {"learning_rate": 1e-4 + trial}}


def epoch(trial, number, best, best_epoch):
    metrics = {"best/objective": best, "best/epoch": best_epoch, "best/threshold": 0.3}
    return {"event": "epoch", "trial": trial, "epoch": number, "metrics": metrics}


def test_the_best_epoch_of_the_best_trial_wins_however_it_ended():
    events = [
        *map(started, range(3)),
        epoch(0, 1, 0.5, 1),
        epoch(1, 1, 0.6, 1),
        epoch(1, 2, 0.7, 2),
        epoch(1, 3, 0.7, 2),
        epoch(2, 1, 0.6, 1),
        {"event": "trial_ended", "trial": 1, "status": "diverged", "reason": ""},
    ]
    winner = choose_winner(events)
    assert (winner.number, winner.objective, winner.epoch) == (1, 0.7, 2)
    assert winner.threshold == 0.3
    assert winner.params == {"learning_rate": 1e-4 + 1}


def test_ties_go_to_the_lower_number():
    events = [started(1), started(0), epoch(1, 1, 0.5, 1), epoch(0, 1, 0.5, 1)]
    assert choose_winner(events).number == 0


def test_what_a_restart_undid_does_not_count():
    events = [
        *map(started, range(2)),
        epoch(0, 1, 0.9, 1),
        epoch(1, 1, 0.5, 1),
        {"event": "trial_restarted", "trial": 0, "reason": ""},
    ]
    assert choose_winner(events).number == 1


def test_no_epoch_no_winner():
    assert choose_winner([]) is None
    assert choose_winner([started(0), epoch(0, 1, 0.0, 0)]) is None


def test_the_test_set_is_opened_once_for_the_same_winner(tmp_path):
    assert not is_due(tmp_path)
    events = EventLog(Journal(tmp_path / "journal.jsonl"))
    for row in (started(4), epoch(4, 1, 0.5, 1)):
        events.emit(row.pop("event"), **row)
    assert is_due(tmp_path)
    (tmp_path / "test_report.json").write_text(json.dumps({"trial": 4, "epoch": 1}))
    assert not is_due(tmp_path)
    row = epoch(4, 2, 0.6, 2)
    events.emit(row.pop("event"), **row)
    assert is_due(tmp_path)


def keep(folder, number, objective, best_epoch):
    return keep_if_best(
        folder / "weights",
        number,
        objective=objective,
        epoch=best_epoch,
        threshold=0.3,
        state={"w": torch.zeros(1)},
    )


def emit(folder, *rows):
    events = EventLog(Journal(folder / "journal.jsonl"))
    for row in rows:
        events.emit(row.pop("event"), **row)


def test_only_the_weights_of_the_winning_epoch_are_the_winners(tmp_path):
    emit(tmp_path, started(4), epoch(4, 1, 0.5, 1), epoch(4, 2, 0.6, 2))
    winner = choose_winner(read_journal(tmp_path / "journal.jsonl"))
    assert find_weights(tmp_path, winner) is None
    assert keep(tmp_path, 4, 0.6, 1)
    assert find_weights(tmp_path, winner) is None
    path = keep(tmp_path, 4, 0.6, 2)
    assert find_weights(tmp_path, winner) == path
    assert keep(tmp_path, 4, 0.7, 2)
    assert find_weights(tmp_path, winner) is None


def test_a_trial_that_was_interrupted_and_ran_again_may_have_left_its_weights_twice(tmp_path):
    emit(
        tmp_path,
        *(started(0), started(1), epoch(1, 1, 0.6, 1)),
        *({**started(2), "resumes": 1}, {**started(3), "resumes": 2}, {**started(4), "resumes": 0}),
    )
    events = read_journal(tmp_path / "journal.jsonl")
    assert [same_training(events, n) for n in range(5)] == [
        *({0, 4}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}, {0, 4})
    ]
    winner = choose_winner(events)
    keep(tmp_path, 4, 0.6, 1)
    keep(tmp_path, 2, 0.6, 2)
    assert (winner.number, find_weights(tmp_path, winner)) == (1, None)
    path = keep(tmp_path, 3, 0.6, 1)
    assert find_weights(tmp_path, winner) == path


def test_weights_that_the_journal_does_not_know_go(tmp_path):
    emit(tmp_path, started(0), started(1), epoch(0, 1, 0.5, 1), epoch(1, 1, 0.5, 1))
    known = keep(tmp_path, 0, 0.5, 1)
    keep(tmp_path, 1, 0.5, 2)  # killed before epoch 2 was in the journal
    keep(tmp_path, 2, 0.5, 1)
    drop_stale_weights(tmp_path)
    assert list((tmp_path / "weights").glob("trial-*")) == [known]


def test_the_kept_weights_give_the_scores_of_their_epoch(tmp_path):
    """The report on test equals that of the session which wrote the weights."""
    data = tiny_encoded()
    config = TrialConfig(
        encoder=str(tiny_encoder(tmp_path / "encoder")),
        loss="bce",
        epochs=2,
        max_length=32,
        learning_rate=3e-3,
    )
    session = TrainingSession(config, data)
    session.run_epoch()
    session.run_epoch()
    wanted = session.evaluate("test")
    path = keep_if_best(
        tmp_path,
        0,
        objective=session.best.objective,
        epoch=2,
        threshold=session.best.threshold,
        state=session.model.state_dict(),
    )
    best = session.best
    report = evaluate_on_test(config.to_mapping(), data, str(path), best.threshold, best.epoch)
    assert report["num_docs"] == 20
    kept = report["predictions"]
    preds, true = (sets.matrix(data.num_labels).toarray() for sets in (kept.predicted, kept.true))
    assert f1_score(true, preds, average="micro") == pytest.approx(report["micro_f1"], abs=1e-9)
    assert report["micro_f1"] == pytest.approx(wanted["test/micro_f1"], abs=1e-9)
    assert report["macro_f1"] == pytest.approx(wanted["test/macro_f1"], abs=1e-9)
    # the validation documents apart by their number of labels, against scikit-learn
    probs, targets = (torch.cat(x).numpy() for x in zip(*session.probabilities("val"), strict=True))
    one = targets.sum(1) == 1
    preds = probs >= np.float32(best.threshold)
    single = f1_score(targets[one], preds[one], average="micro", zero_division=0)
    assert report["validation"]["single_label"]["num_docs"] == one.sum()
    assert report["validation"]["single_label"]["micro_f1"] == pytest.approx(single, abs=1e-9)


def test_lost_weights_are_trained_again_to_the_same_scores(tmp_path):
    data = tiny_encoded()
    config = TrialConfig(
        encoder=str(tiny_encoder(tmp_path / "encoder")),
        loss="bce",
        epochs=4,
        max_length=32,
        learning_rate=3e-3,
    )
    session = TrainingSession(config, data)
    session.run_epoch()
    objective = session.run_epoch()["val/micro_f1"]
    path = tmp_path / "w.safetensors"
    save_file(dict(session.model.state_dict()), path)
    threshold = session.best.threshold
    kept = evaluate_on_test(config.to_mapping(), data, str(path), threshold, 2)
    again = evaluate_on_test(config.to_mapping(), data, None, threshold, 2)
    assert again.pop("retrained_objective") == objective
    one, other = (report.pop("predictions").predicted for report in (again, kept))
    assert (one.ids == other.ids).all()
    assert again == kept
