"""What `benchmarks.epoch` derives from its throughputs, and how it tells them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.flops import training_flops
from benchmarks.report import Row, verdict

_GOAL: Final = 20.0
_GPU_GOAL_S: Final = 2.5


def best_way(kind: str, speeds: Mapping[str, float]) -> str:
    """The faster way of running a reference loop: `KIND_alone` or `KIND_side_by_side`.

    >>> best_way("hf", {"hf_alone": 1.5, "hf_side_by_side": 1.8})
    'hf_side_by_side'
    """
    return max((name for name in speeds if name.startswith(f"{kind}_")), key=speeds.__getitem__)


def derived(
    figures: Mapping[str, Any],
    lengths_N: Sequence[int],
    bert: Any,
    num_labels: int,
    peak_flops: float,
) -> dict[str, Any]:
    """Ratios, epochs of a trial in seconds, and the engine's share of the matmul peak.

    Args:
        figures: throughputs, `processes` and the description of the documents.
        lengths_N: word pieces of the documents of the sample.
        bert: the encoder's BertConfig.
        num_labels: L.
        peak_flops: FLOP/s of a matrix product, of all processes together.
    """
    speeds = {name: figures[f"{name}_docs_per_s"] for name in figures["rounds_docs_per_s"]}
    engine = speeds["engine"]
    others = {name: speed for name, speed in speeds.items() if name != "engine"}
    flops = training_flops(lengths_N, bert, num_labels) / len(lengths_N) * engine
    total = figures["documents"]["train_docs"]
    # of one trial, while as many run as there are processes
    epochs_s = {
        f"{name}_epoch_s": total * _at_once(name, figures) / speed for name, speed in speeds.items()
    }
    return {
        **{f"engine_over_{name}": engine / speed for name, speed in others.items()},
        "engine_over_hf": engine / figures["hf_docs_per_s"],
        **epochs_s,
        "hf_epoch_s": epochs_s[f"{figures['hf_docs_per_s_is']}_epoch_s"],
        "engine_tflops": flops / 1e12,
        "matmul_peak_tflops": peak_flops / 1e12,
        "engine_share_of_peak": flops / peak_flops,
    }


def _at_once(name: str, figures: Mapping[str, Any]) -> int:
    together = name == "engine" or name.endswith("_side_by_side")
    return figures["processes"] if together else 1


def rows(figures: Mapping[str, Any]) -> list[Row]:
    """The table: each loop, the ratios, the engine beside a matmul."""
    found = []
    for name, rounds in figures["rounds_docs_per_s"].items():
        spread = f" ({min(rounds):.2f} to {max(rounds):.2f})" if len(rounds) > 1 else ""
        speed = f"{figures[f'{name}_docs_per_s']:.2f}{spread}"
        found.append(Row(what=f"{_words(name)}, documents/s", value=speed))
        epoch_s = f"{figures[f'{name}_epoch_s']:.1f} s"
        found.append(Row(what=f"{_words(name)}, an epoch of a trial", value=epoch_s))
    ratio = figures["engine_over_notebook"]
    gpu_s = figures.get("engine_epoch_s_measured")
    goal = verdict(f"at least {_GOAL:g}", met=ratio >= _GOAL) if gpu_s is None else ""
    found.append(Row(what="engine / notebook", value=f"{ratio:.1f}", goal=goal))
    if gpu_s is None:
        ratio = figures["engine_over_notebook_side_by_side"]
        found.append(Row(what="engine / notebook side by side", value=f"{ratio:.1f}"))
    else:
        goal = verdict(f"at most {_GPU_GOAL_S} s", met=gpu_s <= _GPU_GOAL_S)
        found.append(Row(what="engine, a whole epoch measured", value=f"{gpu_s:.2f} s", goal=goal))
    better = _words(figures["hf_docs_per_s_is"])
    found.append(Row(what=f"engine / {better}", value=f"{figures['engine_over_hf']:.1f}"))
    share = f"{figures['engine_tflops']:.3f} of {figures['matmul_peak_tflops']:.3f}"
    found.append(Row(what="engine, TFLOP/s of the matmul peak", value=share))
    return found


def _words(name: str) -> str:
    return name.replace("_", " ")


def notes(figures: Mapping[str, Any], *, on_gpu: bool) -> list[str]:
    """What a reader must know of how this was measured."""
    documents = figures["documents"]
    together = f"{figures['processes']} processes of one thread, throughput summed"
    how = (
        "one process each"
        if on_gpu
        else f"notebook and hf alone: one process, all threads; side by side and engine: {together}"
    )
    parts = figures["side_by_side_batch_parts"]
    cut = f"; side by side in {parts} parts, for memory" if parts > 1 and not on_gpu else ""
    return [
        f"{documents['source']}; encoder {figures['encoder']}; {how}",
        f"notebook and hf: batches of 32 at once{cut}",
        f"{documents['sample_docs']} of {documents['train_docs']} training documents at evenly "
        f"spaced quantiles of length: mean {documents['sample_mean_length']:.1f} word pieces, of "
        f"all {documents['train_mean_length']:.1f}",
        "median over rounds (lowest to highest); the first step is not timed",
        "epochs are projected from documents/s; the engine trains with db, the others with bce",
    ]
