"""The losses against the published vectors, a slow float64 reference and their own limits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES
from trainable.losses import LOSSES, build_loss

VECTORS = json.loads((Path(__file__).parent / "loss_vectors.json").read_text(encoding="ascii"))
PAPER = {**PAPER_LOSS_VALUES, "mu": 0.9}
COUNTS = [600, 250, 40, 8, 1]
N = 1000


def values_for(name, **changes):
    return {key: changes.get(key, PAPER[key]) for key in LOSS_HYPERPARAMETERS[name]}


def make(name, *, counts=COUNTS, num_examples=N, formula="released", **changes):
    return build_loss(
        name,
        label_counts=counts,
        num_examples=num_examples,
        formula=formula,
        **values_for(name, **changes),
    )


def batch(num_docs=4, num_labels=5, seed=0, scale=2.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits_BL = torch.randn(num_docs, num_labels, generator=generator, dtype=dtype) * scale
    targets_BL = (torch.rand(num_docs, num_labels, generator=generator) < 0.4).float()
    targets_BL[:, 0] = 1.0  # every document has a label
    return logits_BL, targets_BL


def slow_loss(name, logits, targets, counts, num_examples, formula, h):
    """The formula of the paper, element by element in Python floats."""

    def sigmoid(z):
        return 1 / (1 + math.exp(-z))

    total = 0.0
    for row, labels in zip(logits, targets, strict=True):
        inverse_sum = sum(1 / n for n, y in zip(counts, labels, strict=True) if y)
        for z, y, n in zip(row, labels, counts, strict=True):
            weight = 1.0
            if name in ("cb", "cb-ntr"):
                weight = (1 - h["cb_beta"]) / (1 - h["cb_beta"] ** n)
            if name in ("r-fl", "db-0fl", "db"):
                r = (1 / n) / inverse_sum
                weight = h["alpha"] + sigmoid(h["beta"] * (r - h["mu"]))
            bias = h["kappa"] * math.log(num_examples / n - 1) if "kappa" in h else 0.0
            lambda_ = h.get("lambda_", 1.0)
            gamma = h.get("gamma", 0.0)
            q = sigmoid(z - bias)
            if y:
                term = -((1 - q) ** gamma) * math.log(q)
            else:
                q = sigmoid(lambda_ * (z - bias))
                term = -(q**gamma) * math.log(1 - q) / lambda_
                if name == "ntr-fl" and formula == "released":
                    term *= lambda_
            total += weight * term
    factor = 1.0
    if formula == "released":
        factor = {"bce": 1.0, "cb": 5.0, "cb-ntr": 5.0}.get(name, 0.5)
    return factor * total / (len(logits) * len(counts))


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16-autocast"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", VECTORS, ids=["paper-values", "other-values"])
def test_matches_published_vectors(case, name, autocast):
    given_values = {"lambda_" if k == "lam" else k: v for k, v in case["hparams"].items()}
    given_values = {"mu": 0.9, **given_values}
    chosen = {k: v for k, v in given_values.items() if k in LOSS_HYPERPARAMETERS[name]}
    expected = case["expected"][name]
    targets_BL = torch.tensor(case["targets"])
    found = {}
    for formula in ("released", "paper"):
        logits_BL = torch.tensor(case["logits"], requires_grad=True)
        loss_function = build_loss(
            name,
            label_counts=case["class_freq"],
            num_examples=case["num_train"],
            formula=formula,
            **chosen,
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found[formula] = loss_function(logits_BL, targets_BL)
        assert found[formula].dtype == torch.float32
        found[formula].backward()
        if formula == "released":
            grad_BL = logits_BL.grad
    for formula, loss in found.items():
        assert loss.item() == pytest.approx(expected[formula]["loss"], rel=1e-6, abs=1e-6)
    # the vectors print 9 decimals
    torch.testing.assert_close(
        grad_BL, torch.tensor(expected["released"]["grad"]), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("formula", ["released", "paper"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gamma": 0.5, "cb_beta": 0.999, "alpha": 0.3, "beta": 4.0, "mu": 0.2},
        {"gamma": 3.7, "cb_beta": 0.0, "kappa": 1.0, "lambda_": 0.7},
    ],
    ids=["paper", "other", "extreme"],
)
def test_equals_the_slow_reference(name, formula, changes):
    logits_BL, targets_BL = batch(dtype=torch.float64)
    h = values_for(name, **changes)
    loss = make(name, formula=formula, **changes)(logits_BL, targets_BL)
    expected = slow_loss(name, logits_BL.tolist(), targets_BL.tolist(), COUNTS, N, formula, h)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-10)


NEUTRAL = {"gamma": 0.0, "cb_beta": 0.0, "kappa": 0.0, "lambda_": 1.0}


@pytest.mark.parametrize("name", ["bce", "fl", "cb", "ntr-fl", "cb-ntr"])
def test_neutral_hyperparameters_give_bce(name):
    logits_BL, targets_BL = batch()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits_BL, targets_BL)
    loss = make(name, formula="paper", **NEUTRAL)(logits_BL, targets_BL)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("name", ["r-fl", "db-0fl", "db"])
def test_flat_rebalanced_weight_gives_bce(name):
    logits_BL, targets_BL = batch()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits_BL, targets_BL)
    # a sigmoid this flat is one half everywhere
    flat = {**NEUTRAL, "alpha": 0.5, "beta": 1e-12}
    torch.testing.assert_close(make(name, formula="paper", **flat)(logits_BL, targets_BL), expected)


@pytest.mark.parametrize("formula", ["released", "paper"])
@pytest.mark.parametrize(
    ("name", "changes", "limit"),
    [
        ("db", {"kappa": 0.0, "lambda_": 1.0}, "r-fl"),
        ("db", {"gamma": 0.0}, "db-0fl"),
        ("ntr-fl", {"kappa": 0.0, "lambda_": 1.0}, "fl"),
        ("cb-ntr", {"kappa": 0.0, "lambda_": 1.0}, "cb"),
    ],
)
def test_limits_are_each_other(name, changes, limit, formula):
    logits_BL, targets_BL = batch()
    left = make(name, formula=formula, **changes)(logits_BL, targets_BL)
    right = make(limit, formula=formula)(logits_BL, targets_BL)
    torch.testing.assert_close(left, right)


def test_formulas_differ_by_the_known_factors():
    logits_BL, targets_BL = batch(dtype=torch.float64)
    ratio = {
        name: (
            make(name)(logits_BL, targets_BL) / make(name, formula="paper")(logits_BL, targets_BL)
        ).item()
        for name in LOSSES
    }
    assert 0.5 < ratio.pop("ntr-fl") < 1.0  # its negatives are not divided by lambda
    expected = {
        "bce": 1.0, "fl": 0.5, "cb": 5.0, "r-fl": 0.5, "db-0fl": 0.5, "cb-ntr": 5.0, "db": 0.5,
    }  # fmt: skip
    assert ratio == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_derivative(name):
    logits_BL, targets_BL = batch(num_docs=2, dtype=torch.float64)
    logits_BL.requires_grad_()
    loss_function = make(name, gamma=0.7)
    assert torch.autograd.gradcheck(lambda z_BL: loss_function(z_BL, targets_BL), (logits_BL,))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(LOSSES),
    formula=st.sampled_from(["released", "paper"]),
    logits=st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6),
    targets=st.lists(st.integers(0, 1), min_size=6, max_size=6),
    counts=st.lists(st.integers(0, 50), min_size=3, max_size=3),
    gamma=st.one_of(st.floats(0, 1), st.floats(1, 20)),
    cb_beta=st.floats(0, 0.999999),
    lambda_=st.floats(0.01, 100),
    kappa=st.floats(0, 10),
)
def test_always_finite(
    name, formula, logits, targets, counts, gamma, cb_beta, lambda_, kappa
):  # a document may have no label, a label no document, or every one
    loss_function = make(
        name,
        counts=counts,
        num_examples=50,
        formula=formula,
        gamma=gamma,
        cb_beta=cb_beta,
        lambda_=lambda_,
        kappa=kappa,
    )
    logits_BL = torch.tensor(logits).reshape(2, 3).requires_grad_()
    loss = loss_function(logits_BL, torch.tensor(targets).reshape(2, 3))
    loss.backward()
    assert loss.isfinite()
    assert loss >= 0
    assert logits_BL.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", [name for name in LOSSES if "gamma" in LOSS_HYPERPARAMETERS[name]])
def test_small_gamma_on_a_certain_prediction(name, gamma):
    logits_BL = torch.tensor([[100.0, -100.0, 100.0, -100.0]], requires_grad=True)
    targets_BL = torch.tensor([[1, 0, 0, 1]])
    loss = make(name, counts=[0, 50, 1, 49], num_examples=50, gamma=gamma)(logits_BL, targets_BL)
    loss.backward()
    assert loss.isfinite()
    assert logits_BL.grad.isfinite().all()
    assert logits_BL.grad.abs()[0, 2:].min() > 0  # what is wrong still learns


def test_counts_of_zero_and_all_are_clamped():
    logits_BL, targets_BL = batch(num_labels=3)
    for name in LOSSES:
        edge = make(name, counts=[0, 10, 5], num_examples=10)(logits_BL, targets_BL)
        clamped = make(name, counts=[1, 9, 5], num_examples=10)(logits_BL, targets_BL)
        assert edge == clamped


@pytest.mark.parametrize("name", LOSSES)
def test_writes_to_nothing(name):
    logits_BL, targets_BL = batch()
    logits_before, targets_before = logits_BL.clone(), targets_BL.clone()
    counts = np.array(COUNTS)
    loss_function = make(name, counts=counts)
    first = loss_function(logits_BL, targets_BL)
    assert loss_function(logits_BL, targets_BL) == first
    assert torch.equal(logits_BL, logits_before)
    assert torch.equal(targets_BL, targets_before)
    assert counts.tolist() == COUNTS
    counts[:] = 1  # nor does it read them later
    assert loss_function(logits_BL, targets_BL) == first


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_logits_are_computed_in_float32(name):
    logits_BL, targets_BL = batch()
    rounded_BL = logits_BL.bfloat16()
    assert make(name)(rounded_BL, targets_BL) == make(name)(rounded_BL.float(), targets_BL)


def test_targets_may_be_bool_integer_or_float():
    logits_BL, targets_BL = batch()
    losses = [make("db")(logits_BL, targets_BL.to(kind)) for kind in (torch.bool, torch.uint8)]
    assert all(loss == make("db")(logits_BL, targets_BL) for loss in losses)


def test_first_call_in_inference_mode_does_not_spoil_training():
    logits_BL, targets_BL = batch()
    for name in LOSSES:
        loss_function = make(name)
        with torch.inference_mode():
            before = loss_function(logits_BL, targets_BL)
        leaf_BL = logits_BL.clone().requires_grad_()
        after = loss_function(leaf_BL, targets_BL)
        after.backward()
        assert before == after


def test_counts_may_be_list_array_or_tensor():
    logits_BL, targets_BL = batch()
    losses = [
        make("db", counts=counts)(logits_BL, targets_BL)
        for counts in (COUNTS, np.array(COUNTS, dtype=np.int64), torch.tensor(COUNTS))
    ]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("name", LOSSES)
def test_left_out_means_the_papers_value(name):
    logits_BL, targets_BL = batch()
    mu = {"mu": 0.9} if "mu" in LOSS_HYPERPARAMETERS[name] else {}
    short = build_loss(name, label_counts=COUNTS, num_examples=N, **mu)
    assert short(logits_BL, targets_BL) == make(name)(logits_BL, targets_BL)


def test_shapes_must_agree():
    logits_BL, targets_BL = batch()
    with pytest.raises(ValueError, match=r"one shape, got \(4, 5\) and \(4,\)"):
        make("bce")(logits_BL, targets_BL[:, 0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", LOSSES)
def test_device_follows_the_logits(name):
    logits_BL, targets_BL = batch()
    loss_function = make(name)
    with torch.autocast("cuda", torch.bfloat16):
        on_gpu = loss_function(logits_BL.cuda(), targets_BL.cuda())
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), loss_function(logits_BL, targets_BL))
