"""The step of static shapes against the ordinary one; graphs, on a GPU and with a stand-in."""

import contextlib
import logging
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flash_reference import reference_flash
from tests.tiny import tiny_encoded, tiny_encoder
from trainable import static_step as module
from trainable.attention import warn_once
from trainable.batching import batches_of
from trainable.config import TrialConfig
from trainable.forward import Forward
from trainable.losses import build_loss
from trainable.model import PristineWeights, build_model
from trainable.optim import build_optimizer
from trainable.resident import BUCKET
from trainable.static_step import GraphedStep, StaticStep, build_step
from trainable.step import OptimizerStep

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
DATA = tiny_encoded(train=150)
LABELS = len(DATA.label_names)
FLASH = torch.ops.aten._flash_attention_forward


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> PristineWeights:
    return PristineWeights.load(str(tiny_encoder(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture(scope="module")
def build(pristine):
    """A step of some class over a fresh model, and that model."""

    def make(kind, *, flash, device=CPU, precision="fp32", **changes):
        values = {
            "loss": "db",
            "mu": 0.5,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "batch_size": 32,
        }
        config = TrialConfig(**{**values, **changes})
        model = build_model(pristine, config, DATA.label_names, device).train()
        forward = Forward(model=model, precision=precision, pad_id=0, packed=True, flash=flash)
        counts = [80, 45, 30, 12, 9]
        loss = build_loss("db", label_counts=counts, num_examples=150, mu=0.5)
        return kind(forward, build_optimizer(model, config), loss, config), model

    return make


def tokens_of(docs):
    return int(DATA.train.lengths[docs].sum())


def sizes_of(batches):
    return {tokens_of(docs) // BUCKET for docs in batches}


def weights_of(model):
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters()}


def assert_like(ours, theirs, **tolerance):
    for name, truth in theirs.items():
        torch.testing.assert_close(ours[name].cpu(), truth.cpu(), msg=name, **tolerance)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
@pytest.mark.parametrize("max_grad_norm", [0.0, 0.1])
def test_static_steps_are_ordinary_steps(build, batch_size, max_grad_norm):
    changes = {"batch_size": batch_size, "max_grad_norm": max_grad_norm}
    ours, our_model = build(StaticStep, flash=reference_flash, **changes)
    theirs, their_model = build(OptimizerStep, flash=None, **changes)
    order = np.random.default_rng(0).permutation(len(DATA.train))
    batches = list(batches_of(order, batch_size))[:10]
    if batch_size == 32:
        assert len(sizes_of(batches)) > 1  # of several buckets, and an incomplete last batch
        assert len(batches[-1]) < 32
    for number, docs in enumerate(batches):
        rate = 1e-3 / (1 + number)
        # Adam turns a gradient of rounding errors alone into a full step: one step at a time
        their_model.load_state_dict(our_model.state_dict())
        theirs._optimizer.load_state_dict(ours._optimizer.state_dict())
        loss, norm = ours(DATA.train, docs, rate)
        expected_loss, expected_norm = theirs(DATA.train, docs, rate)
        torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm, expected_norm, rtol=1e-4, atol=1e-6)
        gradients = [{n: p.grad for n, p in m.named_parameters()} for m in (our_model, their_model)]
        assert_like(*gradients, rtol=1e-4, atol=1e-6)
        moments = [step._optimizer.state_dict()["state"] for step in (ours, theirs)]
        for left, right in zip(*(state.values() for state in moments), strict=True):
            assert_like(left, right, rtol=1e-4, atol=1e-6)


def test_weights_after_an_epoch_are_those_of_ordinary_steps(build):
    # epsilon well above rounding errors: Adam must not amplify them
    steps = [build(StaticStep, flash=reference_flash), build(OptimizerStep, flash=None)]
    order = np.random.default_rng(1).permutation(len(DATA.train))
    for step, _ in steps:
        for group in step._optimizer.param_groups:
            group["eps"] = 1e-2
        for number, docs in enumerate(batches_of(order, 32)):
            step(DATA.train, docs, 1e-2 / (1 + number))
    ours, theirs = (weights_of(model) for _, model in steps)
    assert not torch.equal(
        theirs["classifier.weight"], torch.zeros_like(theirs["classifier.weight"])
    )
    assert_like(ours, theirs, rtol=0, atol=1e-6)


documents = st.lists(st.integers(0, 149), min_size=32, max_size=32, unique=True).map(np.array)


@settings(max_examples=15)
@given(before=st.lists(documents, min_size=1, max_size=3), docs=documents)
def test_nothing_of_one_batch_is_left_in_the_next(build, before, docs):
    used, model = build(StaticStep, flash=reference_flash, weight_decay=0.0)
    for other in before:
        used(DATA.train, other, 0.0)  # leaves the weights as they are
    fresh, fresh_model = build(StaticStep, flash=reference_flash)
    for ours, theirs in zip(used(DATA.train, docs, 0.0), fresh(DATA.train, docs, 0.0), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(model.parameters(), fresh_model.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_what_a_step_returns_outlives_the_next(build):
    step, _ = build(StaticStep, flash=reference_flash)
    loss, norm = step(DATA.train, np.arange(32), 1e-3)
    before = loss.item(), norm.item()
    step(DATA.train, np.arange(32, 64), 1e-3)
    assert (loss.item(), norm.item()) == before


def test_batches_too_large_for_one_pass_are_sliced(build, monkeypatch):
    step, _ = build(StaticStep, flash=reference_flash)
    monkeypatch.setattr(module, "MAX_TOKENS", {"cpu": BUCKET})
    monkeypatch.setattr(step, "run", None)  # must not be called
    docs = np.argsort(DATA.train.lengths)[-32:]
    assert tokens_of(docs) > BUCKET
    ordinary, _ = build(OptimizerStep, flash=None)
    expected, _ = ordinary(DATA.train, docs, 1e-3)
    torch.testing.assert_close(step(DATA.train, docs, 1e-3)[0], expected)


def test_halved_batches_are_sliced_with_the_same_gradients(build, monkeypatch):
    step, model = build(StaticStep, flash=reference_flash)
    monkeypatch.setattr(step, "run", None)  # must not be called
    step._forward.halved = True
    ordinary, theirs = build(OptimizerStep, flash=None)
    docs = np.arange(32)
    seen, real = [], step._forward.logits
    monkeypatch.setattr(
        type(step._forward), "logits", lambda _, *args: seen.append(len(args[1])) or real(*args)
    )
    loss, _ = step(DATA.train, docs, 0.0)
    monkeypatch.undo()
    assert max(seen) <= 16
    assert sum(seen) == 32
    expected, _ = ordinary(DATA.train, docs, 0.0)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    gradients = [{n: p.grad for n, p in m.named_parameters()} for m in (model, theirs)]
    assert_like(*gradients, rtol=1e-5, atol=1e-6)


def test_a_step_needs_no_value_on_the_host(pristine, monkeypatch):
    # on the meta device, with the real operator: whatever asked for a value would fail
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    config = TrialConfig(loss="bce", batch_size=4, max_grad_norm=1.0)
    model = build_model(pristine, config, DATA.label_names, CPU).to("meta", torch.bfloat16)
    model.classifier.float()

    forward = Forward(model=model.train(), precision="bf16", pad_id=0, packed=True, flash=FLASH)
    optimizer = types.SimpleNamespace(
        param_groups=[{"params": list(model.parameters())}],
        zero_grad=model.zero_grad,
        step=lambda: None,
    )

    def loss(logits, targets):
        assert logits.shape == targets.shape == (4, LABELS)
        return torch.where(targets, -logits, logits).mean()

    StaticStep(forward, optimizer, loss, config).run(DATA.train, 2 * BUCKET)
    gradients = [p.grad for p in model.parameters()]
    assert all(grad is not None and grad.is_meta for grad in gradients)


def test_on_a_cpu_steps_are_ordinary(build):
    step, _ = build(build_step, flash=reference_flash)
    assert type(step) is OptimizerStep


REFUSED = RuntimeError("CUDA error: operation not permitted\nCUDA kernel errors ...")


class StandIn:
    """What `GraphedStep` uses of torch.cuda: a capture notes a step, a replay takes it."""

    def __init__(self, monkeypatch, *, fail=None):
        self.log, self.capturing, self.fail = [], None, fail
        real, stand_in = StaticStep.run, self

        def run(step, split, num_tokens):
            if stand_in.capturing is None:
                stand_in.log.append(("run", num_tokens))
                real(step, split, num_tokens)
                return
            if stand_in.fail:
                raise stand_in.fail
            stand_in.log.append(("capture", num_tokens))
            stand_in.capturing.call = step, split, num_tokens

        class Graph:
            def replay(self):
                stand_in.log.append(("replay", self.call[2]))
                real(*self.call)

        @contextlib.contextmanager
        def capture(graph, pool, stream, capture_error_mode):
            assert (pool, capture_error_mode) == ("pool", "thread_local")
            assert isinstance(stream, Stream)
            stand_in.capturing = graph
            try:
                yield
            finally:
                stand_in.capturing = None
                if stand_in.fail is REFUSED:  # the end of an invalid capture fails too
                    raise RuntimeError("CUDA error: operation failed due to a previous error")

        class Stream:
            def __init__(self, *_):
                pass

            def wait_stream(self, other):
                assert other is not self

        current = Stream()
        monkeypatch.setattr(StaticStep, "run", run)
        for name, value in {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph": capture,
            "graph_pool_handle": lambda: "pool",
            "current_stream": lambda: current,
            "stream": lambda _stream: contextlib.nullcontext(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def names(self):
        log, self.log = [name for name, _ in self.log], []
        return log


@pytest.fixture
def two_sizes():
    by_length = np.argsort(DATA.train.lengths)
    small, large = by_length[:32], by_length[-32:]
    assert len(sizes_of([small, large])) == 2
    return small, large


def test_a_size_is_captured_once_after_its_warm_up(build, monkeypatch, two_sizes):
    stand_in = StandIn(monkeypatch)
    step, _ = build(GraphedStep, flash=reference_flash)
    small, large = two_sizes
    for _ in range(5):
        step(DATA.train, small, 1e-3)
    assert stand_in.names() == ["run"] * 3 + ["capture", "replay", "replay"]
    for docs in (large, small, large[:5], large):
        step(DATA.train, docs, 1e-3)
    assert stand_in.names() == ["run", "replay", "run"]  # an incomplete batch as its base does


def test_graphs_are_not_used_with_another_split_or_optimiser_state(build, monkeypatch, two_sizes):
    stand_in = StandIn(monkeypatch)
    step, _ = build(GraphedStep, flash=reference_flash)
    for _ in range(4):
        step(DATA.train, two_sizes[0], 1e-3)
    stand_in.names()
    step._optimizer.load_state_dict(step._optimizer.state_dict())  # the tensors are others now
    step(DATA.train, two_sizes[0], 1e-3)
    assert stand_in.names() == ["run"]
    for _ in range(4):
        step(DATA.train, two_sizes[0], 1e-3)
    stand_in.names()
    step(DATA.val, np.arange(20).repeat(2)[:32], 1e-3)
    assert stand_in.names() == ["run"]


@pytest.fixture
def undone(monkeypatch):
    """What was undone of failed captures, in a process that has seen none."""
    monkeypatch.setattr(GraphedStep, "refused", False)
    calls = []
    monkeypatch.setattr(module, "_undo_capture", lambda *args: calls.append(args))
    return calls


def test_without_graphs_it_goes_on_and_says_so_once(build, monkeypatch, two_sizes, undone, caplog):
    stand_in = StandIn(monkeypatch, fail=REFUSED)
    warn_once.cache_clear()
    step, _ = build(GraphedStep, flash=reference_flash)
    with caplog.at_level(logging.WARNING):
        for docs in (*[two_sizes[0]] * 6, *[two_sizes[1]] * 6):
            step(DATA.train, docs, 1e-3)
    assert stand_in.names() == ["run"] * 12
    assert [record.message for record in caplog.records] == [
        "steps run without CUDA graphs, which is slower: CUDA error: operation not permitted"
    ]
    assert undone == [(torch.cuda.current_stream(), "pool")]
    assert GraphedStep.refused


def test_a_capture_that_memory_ran_out_in_is_no_reason_to_stay_without(
    build, monkeypatch, two_sizes, undone
):
    StandIn(monkeypatch, fail=torch.OutOfMemoryError("CUDA out of memory."))
    step, _ = build(GraphedStep, flash=reference_flash)
    for _ in range(4):
        step(DATA.train, two_sizes[0], 1e-3)
    assert (step._gave_up, GraphedStep.refused, len(undone)) == (True, False, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("max_grad_norm", [0.0, 0.5])
def test_replayed_steps_are_eager_steps(build, two_sizes, max_grad_norm):
    changes = {
        **{"flash": FLASH, "device": CUDA, "precision": "bf16"},
        **{"max_grad_norm": max_grad_norm},
    }
    graphed, our_model = build(GraphedStep, **changes)
    eager, their_model = build(OptimizerStep, **changes)
    for number in range(20):
        docs, rate = two_sizes[number % 2], 1e-3 / (1 + number)
        ours, theirs = graphed(DATA.train, docs, rate), eager(DATA.train, docs, rate)
        for left, right in zip(ours, theirs, strict=True):
            torch.testing.assert_close(left, right, rtol=0.02, atol=1e-4)
    assert len(graphed._graphs) == 2
    assert not graphed._gave_up
    ours, theirs = weights_of(our_model), weights_of(their_model)
    start = weights_of(build(OptimizerStep, **changes)[1])
    for name, truth in theirs.items():
        if not name.endswith("key.bias"):  # without a gradient but for rounding
            moved = (truth - start[name]).norm()
            assert (ours[name] - truth).norm() < 0.1 * moved, name


@pytest.mark.gpu
def test_dropout_differs_between_replays_and_repeats_with_the_seed(build, two_sizes):
    changes = {"dropout": 0.3, "attention_dropout": 0.3, "weight_decay": 0.0}
    step, _ = build(GraphedStep, flash=FLASH, device=CUDA, precision="bf16", **changes)

    def losses(seed):
        torch.manual_seed(seed)
        return [step(DATA.train, two_sizes[0], 0.0)[0].item() for _ in range(8)]

    losses(0)
    assert step._graphs
    first, again, other = losses(1), losses(1), losses(2)
    assert len(set(first)) == 8
    assert first == again
    assert first != other


@pytest.mark.gpu
def test_a_loss_that_no_graph_can_hold_costs_the_graphs_alone(build, two_sizes, monkeypatch):
    """Not seen by a GPU yet: dropout, streams and memory are as before its capture failed."""
    monkeypatch.setattr(GraphedStep, "refused", False)
    changes = {"dropout": 0.3, "attention_dropout": 0.3, "device": CUDA, "precision": "bf16"}
    step, _ = build(GraphedStep, flash=FLASH, **changes)
    stream, real = torch.cuda.current_stream(), step._loss

    def reading(logits, targets):
        loss = real(logits, targets)
        loss.item()
        return loss

    step._loss = reading
    losses = [step(DATA.train, two_sizes[0], 0.0)[0].item() for _ in range(6)]
    assert (step._gave_up, GraphedStep.refused) == (True, True)
    assert len(set(losses)) == 6  # dropout goes on, with other numbers each step
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()
    after, _ = build(build_step, flash=FLASH, **changes)
    assert type(after) is OptimizerStep
    torch.manual_seed(0)
    first = after(DATA.train, two_sizes[0], 0.0)[0].item()
    torch.manual_seed(0)
    assert after(DATA.train, two_sizes[0], 0.0)[0].item() == first


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_steps_do_not_wait_for_the_gpu(build, two_sizes):
    step, _ = build(GraphedStep, flash=FLASH, device=CUDA, precision="bf16")
    batches = [*[two_sizes[0], two_sizes[1]] * 4, two_sizes[1][:5]]
    for docs in batches:
        step(DATA.train, docs, 1e-3)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for docs in batches:  # replays, and the ordinary step of an incomplete batch
            step(DATA.train, docs, 1e-3)
        step._runs.clear()
        for docs in two_sizes:  # warm-up
            step(DATA.train, docs, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
