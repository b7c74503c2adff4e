"""Floating-point operations of a training step without padding, and what a matmul reaches here.

Shapes: N documents.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import torch

_BACKWARD: Final = 3
"""Of a forward pass: the backward pass costs two of it."""
_PEAK_TRIES: Final = 5


def training_flops(lengths_N: Sequence[int], config: Any, num_labels: int) -> int:
    """Operations (a multiply-add counts two) of forward and backward passes without waste.

    Every word piece once, attention within its document, the last layer's queries, output and
    feed-forward for [CLS] alone, no recomputation. Elementwise work does not count.

    Args:
        lengths_N: word pieces of each document.
        config: a BertConfig.
        num_labels: L.
    """
    width, inner, layers = (
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
    )
    docs, tokens = len(lengths_N), sum(lengths_N)
    projections = 2 * width * width  # of one token, one of query, key, value and output
    feed_forward = 2 * 2 * width * inner
    attention = 2 * 2 * width  # of one query and one key: the score, and its share of the context
    squares = sum(length * length for length in lengths_N)
    full_layer = tokens * (4 * projections + feed_forward) + squares * attention
    last_layer = (
        tokens * 2 * projections + docs * (2 * projections + feed_forward) + tokens * attention
    )
    head = docs * (projections + 2 * width * num_labels)
    return _BACKWARD * ((layers - 1) * full_layer + last_layer + head)


def matmul_peak(device: torch.device, precision: str) -> float:
    """The best FLOP/s of a large square matrix product in this process, with its threads."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 8192 if device.type == "cuda" else 1536
    a = torch.randn(size, size, dtype=dtype, device=device)
    b = torch.randn(size, size, dtype=dtype, device=device)
    repeats = 20 if device.type == "cuda" else 2
    best = float("inf")
    for _ in range(_PEAK_TRIES + 1):
        wait_for(device)
        started = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b)
        wait_for(device)
        best = min(best, (time.perf_counter() - started) / repeats)
    return 2 * size**3 / best


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
