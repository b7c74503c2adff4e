"""One trial without Ray: what an epoch means, seeds, resuming, divergence, thresholds."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from tests.flash_reference import reference_flash
from tests.tiny import encoded_split, tiny_encoded, tiny_encoder
from trainable import forward as forward_module
from trainable.batching import dense_targets
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.divergence import DivergedError
from trainable.errors import UsageError
from trainable.label_stats import label_stats
from trainable.loop import TrainingSession
from trainable.losses import build_loss
from trainable.model import PristineWeights
from trainable.static_step import StaticStep

CPU = torch.device("cpu")
DATA = tiny_encoded()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def pristine(encoder) -> PristineWeights:
    return PristineWeights.load(str(encoder))


@pytest.fixture
def session_of(pristine):
    def build(data=DATA, *, device=CPU, reuse=None, **settings) -> TrainingSession:
        values = {
            "dataset": "tiny",
            "encoder": pristine.encoder,
            "max_length": 32,
            "loss": "db",
            "learning_rate": 3e-3,
            "batch_size": 8,
            "epochs": 3,
            "precision": "fp32",
        }
        config = TrialConfig(**{**values, **settings})
        return TrainingSession(config, data, device=device, pristine=pristine, reuse=reuse)

    return build


def numbers(result):
    return {name: value for name, value in result.items() if not name.startswith("time/")}


def same_weights(left, right):
    pairs = zip(left.model.parameters(), right.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns(session_of):
    session = session_of(epochs=12, loss="bce", dropout=0.0, attention_dropout=0.0)
    untrained = session.evaluate("val")["val/micro_f1"]
    results = [session.run_epoch() for _ in range(12)]
    assert results[-1]["train/loss"] < 0.5 * results[0]["train/loss"]
    assert session.best.objective > untrained + 0.2
    assert session.evaluate("test")["test/micro_f1"] > 0.6


def test_keys_of_a_result(session_of):
    result = session_of().run_epoch()
    groups = {f"val/{g}/{k}_f1" for g in ("head", "medium", "tail") for k in ("micro", "macro")}
    assert set(result) == groups | {
        *("epoch", "train/loss", "train/learning_rate", "val/loss", "val/threshold"),
        *("val/objective", "best/micro_f1", "best/macro_f1", "best/tail_micro_f1"),
        *("val/micro_f1", "val/macro_f1", "val/micro_f1_at_0.5", "val/macro_f1_at_0.5"),
        *(BEST_OBJECTIVE, "best/epoch", "best/threshold"),
        *("time/epoch_s", "time/train_docs_per_s"),
    }
    assert all(type(value) in (int, float) and math.isfinite(value) for value in result.values())


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("loss", ["bce", "db"])
def test_slices_give_the_gradients_of_the_whole_batch(session_of, monkeypatch, loss, packed):
    monkeypatch.setattr(forward_module, "_OVERHEAD_TOKENS", {"cpu": 0})
    monkeypatch.setattr(forward_module, "MAX_TOKENS", {"cpu": 100})
    session = session_of(loss=loss, dropout=0.0, attention_dropout=0.0)
    session._forward.packed = packed
    docs = np.arange(20)
    assert len(session._forward.slices(DATA.train, docs)) > 2
    batch_loss = session._step.accumulate_gradients(DATA.train, docs)
    # the truth: one padded pass of the model as transformers runs it
    lengths = DATA.train.lengths[docs]
    ids = torch.zeros(20, int(lengths.max()), dtype=torch.int64)
    for row, doc in enumerate(docs):
        start, end = DATA.train.token_offsets[doc : doc + 2]
        ids[row, : end - start] = torch.tensor(DATA.train.token_ids[start:end])
    other = session_of(loss=loss, dropout=0.0, attention_dropout=0.0)
    stats = label_stats(DATA.train, 5)
    function = build_loss(
        loss,
        label_counts=stats.label_counts_L,
        num_examples=60,
        **({"mu": stats.mu_estimate} if loss == "db" else {}),
    )
    logits = other.model(ids, attention_mask=(ids != 0).long()).logits
    expected = function(logits, dense_targets(DATA.train, docs, 5, CPU))
    expected.backward()
    assert batch_loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(session.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_same_numbers(session_of, precision):
    first, second = session_of(precision=precision), session_of(precision=precision)
    # interleaved, with the global generators disturbed: nothing else may matter
    left, right = [], []
    for epoch in range(2):
        left.append(numbers(first.run_epoch()))
        torch.manual_seed(epoch)
        np.random.seed(epoch)
        right.append(numbers(second.run_epoch()))
    assert left == right
    assert same_weights(first, second)


def test_other_seed_other_numbers(session_of):
    first, second = session_of(seed=1), session_of(seed=2)
    assert first.run_epoch()["train/loss"] != second.run_epoch()["train/loss"]


def test_dropout_differs_between_epochs_and_is_off_in_validation(session_of):
    session = session_of(dropout=0.5)
    assert session.evaluate("val") == session.evaluate("val")
    session.run_epoch()
    assert session.evaluate("val") == session.evaluate("val")


def test_an_epoch_leaves_the_global_generator_and_threads_alone(session_of):
    session = session_of(num_threads=torch.get_num_threads() + 1)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    session.run_epoch()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_a_session_on_a_reused_model_equals_a_fresh_one(session_of):
    used = session_of(seed=9, loss="bce", learning_rate=1e-2, dropout=0.4)
    used.run_epoch()
    reused, fresh = session_of(reuse=used.model), session_of()
    assert reused.model is used.model
    expected = [numbers(fresh.run_epoch()) for _ in range(2)]
    assert [numbers(reused.run_epoch()) for _ in range(2)] == expected
    assert same_weights(reused, fresh)


def test_resumed_in_the_middle_equals_a_straight_run(session_of):
    settings = {"lr_schedule": "linear", "warmup_fraction": 0.4, "max_grad_norm": 0.5}
    straight, first, second = (session_of(**settings) for _ in range(3))
    expected = [numbers(straight.run_epoch()) for _ in range(3)]
    assert numbers(first.run_epoch()) == expected[0]
    second.load_state_dict(first.state_dict())
    assert second.best == first.best
    assert [numbers(second.run_epoch()) for _ in range(2)] == expected[1:]
    assert same_weights(straight, second)


def test_learning_rate_of_an_epoch_is_that_of_its_last_step(session_of):
    session = session_of(lr_schedule="linear", epochs=2)  # 2 x 8 steps
    assert session.run_epoch()["train/learning_rate"] == pytest.approx(3e-3 * 9 / 16)
    assert session.run_epoch()["train/learning_rate"] == pytest.approx(3e-3 * 1 / 16)


def test_no_epoch_after_the_last(session_of):
    session = session_of(epochs=1)
    session.run_epoch()
    with pytest.raises(ValueError, match="all 1 epochs are done"):
        session.run_epoch()


def test_train_loss_is_the_mean_over_documents(session_of):
    # 60 documents in batches of 8: the last batch of 4 counts for half
    session = session_of(loss="bce", learning_rate=1e-12, dropout=0.0, attention_dropout=0.0)
    expected = session.evaluate("train")["train/loss"]
    assert session.run_epoch()["train/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 60, 1000])
def test_any_batch_size(session_of, batch_size):
    result = session_of(tiny_encoded(train=15, val=6, test=5), batch_size=batch_size).run_epoch()
    assert math.isfinite(result["train/loss"])


ODD = encoded_split([[2, 3], [2, *[9] * 62, 3], [2, 8, 3]], [[0], [1, 4], [2, 3]])


@pytest.mark.parametrize("max_length", [64, 10], ids=["full length", "too long"])
def test_empty_documents_and_documents_of_and_above_the_limit(session_of, max_length):
    data = dataclasses.replace(DATA, train=ODD, val=ODD, test=ODD)
    session = session_of(data, max_length=max_length, batch_size=2)
    assert session.data.train.lengths.tolist() == [2, max_length, 3]
    assert math.isfinite(session.run_epoch()["val/loss"])


@pytest.mark.parametrize("batch_size", [1, 8, 1000])
@pytest.mark.parametrize("train", [DATA.train, ODD], ids=["many", "odd"])
def test_an_epoch_in_the_manner_of_a_gpu_gives_the_same_numbers(session_of, train, batch_size):
    data = dataclasses.replace(DATA, train=train)
    settings = {"dropout": 0.0, "attention_dropout": 0.0, "batch_size": batch_size}
    ours, theirs = (session_of(data, learning_rate=1e-4, **settings) for _ in range(2))
    ours._forward.flash = reference_flash
    ours._step = StaticStep(ours._forward, ours._optimizer, ours._loss, ours.config)
    for _ in range(2):
        assert numbers(ours.run_epoch()) == pytest.approx(numbers(theirs.run_epoch()), rel=1e-3)


def test_more_word_pieces_than_the_encoder_has_positions(session_of):
    with pytest.raises(UsageError, match=r"'max_length' must be at most 64, .* got 65"):
        session_of(max_length=65)


def test_one_label(session_of):
    split = encoded_split([[2, 9, 3], [2, 8, 3], [2, 9, 9, 3]], [[0], [], [0]])
    one = {"label_names": ("only",), "groups": ("head",)}
    data = dataclasses.replace(DATA, train=split, val=split, test=split, **one)
    # the sweep holds a threshold at which everything is predicted
    assert session_of(data).run_epoch()["val/micro_f1"] >= 0.8


def test_gradient_clipping(session_of):
    session = session_of(max_grad_norm=1e-3)
    session._step.accumulate_gradients(DATA.train, np.arange(8))
    before = session._step.clip_gradients()
    grads = torch.cat([p.grad.flatten() for p in session.model.parameters()])
    assert before.item() > 1e-3
    assert grads.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_mu_is_estimated_from_the_training_labels(session_of):
    estimate = label_stats(DATA.train, 5).mu_estimate
    implicit, explicit, other = session_of(), session_of(mu=estimate), session_of(mu=0.01)
    assert implicit.evaluate("val") == explicit.evaluate("val")
    assert implicit.evaluate("val")["val/loss"] != other.evaluate("val")["val/loss"]


def test_evaluation_agrees_with_scikit_learn_and_the_order_of_the_documents(
    session_of, monkeypatch
):
    monkeypatch.setattr("trainable.loop._CHUNK_DOCS", 7)
    session = session_of()
    session.run_epoch()
    batches = list(session.probabilities("val"))
    probs = torch.cat([batch[0] for batch in batches])
    targets = torch.cat([batch[1] for batch in batches])
    assert [len(batch[0]) for batch in batches] == [7, 7, 6]
    assert (probs.dtype, targets.dtype) == (torch.float32, torch.bool)
    assert torch.equal(targets, dense_targets(DATA.val, np.arange(20), 5, CPU))
    scores = session.evaluate("val")
    preds = (probs >= scores["val/threshold"]).numpy()
    expected = f1_score(targets.numpy(), preds, average="micro", zero_division=0)
    assert scores["val/micro_f1"] == pytest.approx(expected)
    whole = [
        f1_score(targets.numpy(), (probs >= k / 100).numpy(), average="micro", zero_division=0)
        for k in range(1, 100)
    ]
    assert scores["val/micro_f1"] == pytest.approx(max(whole))


def test_test_split_uses_the_threshold_of_the_best_epoch(session_of):
    session = session_of()
    assert session.evaluate("test")["test/threshold"] == 0.5
    session.run_epoch()
    assert session.evaluate("test")["test/threshold"] == session.best.threshold


def test_best_is_the_first_epoch_with_the_highest_objective(session_of, monkeypatch):
    session = session_of(epochs=4)
    objectives = iter([0.3, 0.7, 0.7, 0.2])
    epochs = itertools.count(1)
    monkeypatch.setattr(
        session,
        "evaluate",
        lambda _split: {"val/objective": next(objectives), "val/threshold": next(epochs) / 10},
    )
    assert session.best_metrics == {BEST_OBJECTIVE: 0.0, "best/epoch": 0, "best/threshold": 0.5}
    results = [session.run_epoch() for _ in range(4)]
    assert [result[BEST_OBJECTIVE] for result in results] == [0.3, 0.7, 0.7, 0.7]
    assert [result["best/epoch"] for result in results] == [1, 2, 2, 2]
    assert [result["best/threshold"] for result in results] == [0.1, 0.2, 0.2, 0.2]


def test_diverged_by_the_loss(session_of, monkeypatch):
    session = session_of()
    real, calls = session._step._loss, itertools.count()
    monkeypatch.setattr(
        session._step, "_loss", lambda *args: real(*args) * (math.nan if next(calls) > 6 else 1)
    )
    with pytest.raises(DivergedError, match=r"the loss is not finite at step \d") as caught:
        session.run_epoch()
    assert 1 <= caught.value.step <= 7
    assert session.epoch == 0


def test_diverged_by_a_gradient(session_of):
    session = session_of()
    session.model.classifier.weight.register_hook(lambda grad: grad * math.inf)
    with pytest.raises(DivergedError, match="a gradient is not finite at step 0"):
        session.run_epoch()


def test_diverged_by_a_logit_of_validation(session_of):
    session = session_of()
    with torch.no_grad():
        session.model.classifier.bias[2] = math.inf
    with pytest.raises(DivergedError, match="a logit of the val split is not finite at step 0"):
        session.evaluate("val")
    with pytest.raises(DivergedError):
        list(session.probabilities("test"))


def test_the_first_bad_step_is_named_however_seldom_one_looks():
    from trainable.divergence import FiniteWatch

    watch = FiniteWatch(100, every=4)
    one, bad = torch.tensor(1.0), torch.tensor(math.nan)
    watch.add(one, one)
    watch.add(one, bad)
    watch.add(bad, bad)
    with pytest.raises(DivergedError, match="a gradient is not finite at step 101"):
        watch.check()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_the_numbers_of_the_cpu(session_of, precision):
    settings = {"dropout": 0.0, "attention_dropout": 0.0, "precision": precision}
    cpu, gpu = session_of(**settings), session_of(device=torch.device("cuda"), **settings)
    again = session_of(device=torch.device("cuda"), **settings)
    ours, theirs = cpu.run_epoch(), gpu.run_epoch()
    assert theirs["train/loss"] == pytest.approx(ours["train/loss"], rel=1e-2)
    assert theirs["val/loss"] == pytest.approx(ours["val/loss"], rel=5e-2)
    # attention adds up gradients in any order
    tolerance = 1e-4 if precision == "fp32" else 1e-2
    assert again.run_epoch()["train/loss"] == pytest.approx(theirs["train/loss"], rel=tolerance)
