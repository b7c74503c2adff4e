"""A step of the optimiser with static shapes, and its replay as a CUDA graph.

An eager step of BERT launches about a thousand kernels, which takes a host longer than a GPU needs
to compute them. A graph of them is launched at once, but its shapes and addresses are fixed: so a
batch is filled up with a dummy document to one of a few numbers of word pieces, and what differs
between steps - which documents, and the learning rate - lies in tensors that are written to before
each. Everything else is gathered from the split on the device.

Shapes: B documents of a batch, L labels.
"""

import contextlib
from collections import Counter
from typing import ClassVar, Final

import torch
from torch import Tensor

from trainable.attention import warn_once
from trainable.batching import Indices
from trainable.config import TrialConfig
from trainable.device import is_out_of_memory, upload
from trainable.encoded import EncodedSplit
from trainable.errors import first_line
from trainable.forward import MAX_TOKENS, Forward
from trainable.losses import LossFunction
from trainable.optim import set_learning_rate
from trainable.resident import BUCKET
from trainable.step import AnyForward, OptimizerStep

_WARM_UP: Final = 3
"""Steps of a shape before its capture, as in torch's notes on CUDA graphs: libraries set up their
workspaces in them, and the optimiser its state. They train like any other."""


class StaticStep(OptimizerStep):
    """Full batches by `run`, a pure sequence of kernels, in one pass.

    As its base does: the last batch, which is smaller, and all of them once slices are halved.
    """

    def __init__(
        self,
        forward: Forward,
        optimizer: torch.optim.AdamW,
        loss: LossFunction,
        config: TrialConfig,
    ) -> None:
        super().__init__(forward, optimizer, loss, config)
        self._static_forward = forward
        self._docs_B = torch.zeros(config.batch_size, dtype=torch.int64, device=forward.device)
        self._learning_rate = torch.zeros((), device=forward.device)
        self._loss_and_norm = torch.zeros(2, device=forward.device)

    def __call__(
        self, split: EncodedSplit, docs_B: Indices, learning_rate: float
    ) -> tuple[Tensor, Tensor]:
        """See `OptimizerStep`."""
        num_tokens = int((split.token_offsets[docs_B + 1] - split.token_offsets[docs_B]).sum())
        num_tokens = (num_tokens // BUCKET + 1) * BUCKET  # at least one for the dummy
        device = self._docs_B.device
        whole = len(docs_B) == len(self._docs_B) and num_tokens <= MAX_TOKENS[device.type]
        if not whole or self._static_forward.halved:
            return super().__call__(split, docs_B, learning_rate)
        self._docs_B.copy_(upload(docs_B, device))
        self._learning_rate.fill_(learning_rate)
        self._execute(split, num_tokens)
        loss, norm = self._loss_and_norm.clone()
        return loss, norm

    def run(self, split: EncodedSplit, num_tokens: int) -> None:
        """One step on the documents in the static tensors; no value of a tensor reaches the host.

        Args:
            split: of the documents.
            num_tokens: the static size of the batch, in word pieces.
        """
        forward = self._static_forward
        set_learning_rate(self._optimizer, self._learning_rate)
        self._optimizer.zero_grad(set_to_none=True)
        # a cache of cast weights would be filled in one graph and be stale in the next
        with forward.autocast(cache=False):
            logits_BL = forward.static_logits(split, self._docs_B, num_tokens)
            loss = self._loss(logits_BL, forward.static_targets(split, self._docs_B))
        loss.backward()
        norm = self.clip_gradients()
        self._optimizer.step()
        self._loss_and_norm.copy_(torch.stack([loss.detach(), norm]))

    def _execute(self, split: EncodedSplit, num_tokens: int) -> None:
        self.run(split, num_tokens)


class GraphedStep(StaticStep):
    """Replays a graph per size, captured when a size has come up a few times; CUDA only.

    Graphs share one pool of memory: they never run at the same time, and nothing that one leaves
    in it is read after the next. They live as long as the trial: dropout, weight decay and the
    loss are part of them, and capturing one takes a few eager steps' time (estimated).

    A failed capture is undone and the trial goes on eagerly. Read from torch's source, not yet seen
    on a GPU: that `_undo_capture` is all it takes. If it is not, the next dropout raises, the trial
    fails, and `--precision fp32` is the way round. What torch has no call to undo (its allocator of
    pinned memory counts the capture as under way) matters to later captures, so there are none.
    """

    refused: ClassVar[bool] = False
    """Of the process: a capture has failed, and not for want of memory; no trial tries again."""

    def __init__(
        self,
        forward: Forward,
        optimizer: torch.optim.AdamW,
        loss: LossFunction,
        config: TrialConfig,
    ) -> None:
        super().__init__(forward, optimizer, loss, config)
        self._stream = torch.cuda.Stream(forward.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._runs: Counter[int] = Counter()
        self._baked: tuple[object, object] = (None, None)
        """What the graphs were captured with: the split, and the optimiser's state."""
        self._gave_up = False

    def _execute(self, split: EncodedSplit, num_tokens: int) -> None:
        state = self._optimizer.state  # loading a checkpoint replaces it
        if split is not self._baked[0] or state is not self._baked[1]:
            self._graphs.clear()
            self._runs.clear()
            self._baked = split, state
        if self._runs[num_tokens] >= _WARM_UP and not self._gave_up:
            if num_tokens not in self._graphs:
                self._capture(split, num_tokens)
            if num_tokens in self._graphs:
                self._graphs[num_tokens].replay()
                return
        self._runs[num_tokens] += 1
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self.run(split, num_tokens)
        current.wait_stream(self._stream)

    def _capture(self, split: EncodedSplit, num_tokens: int) -> None:
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may be writing weights to disk
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        current = torch.cuda.current_stream()
        try:
            with recording:
                self.run(split, num_tokens)
        except RuntimeError as error:
            first = error.__context__ or error  # the end of an invalid capture raises another
            self._gave_up = True
            if not is_out_of_memory(first):
                GraphedStep.refused = True
            self._graphs.clear()
            _undo_capture(current, self._pool)
            warn_once(f"steps run without CUDA graphs, which is slower: {first_line(first)}")
        else:
            self._graphs[num_tokens] = graph


def _undo_capture(current: torch.cuda.Stream, pool: tuple[int, int]) -> None:
    """Leave a capture that failed, whose end torch may have broken off half-way.

    Args:
        current: the stream before it.
        pool: of the memory.
    """
    torch.cuda.set_stream(current)
    index = current.device_index
    with contextlib.suppress(RuntimeError):  # it came to its end
        torch._C._cuda_endAllocateToPool(index, pool)
    # the state of the generator may wait for a replay: a new one goes on with its numbers
    generator = torch.cuda.default_generators[index]
    fresh = torch.Generator(device=generator.device)
    fresh.set_state(generator.get_state())
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


def build_step(
    forward: AnyForward,
    optimizer: torch.optim.AdamW,
    loss: LossFunction,
    config: TrialConfig,
) -> OptimizerStep:
    """The fastest step for a forward pass: graphs where flash attention runs, else eager."""
    graphs = forward.device.type == "cuda" and not GraphedStep.refused
    if graphs and isinstance(forward, Forward) and forward.flash is not None:
        return GraphedStep(forward, optimizer, loss, config)
    return OptimizerStep(forward, optimizer, loss, config)
