"""Training documents per second: the notebook's loop, transformers padded, this engine.

The same documents in one run. On a CPU as a search runs trials: one process a core, one thread
each, side by side, their throughputs summed; on a GPU one process.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.documents import Corpus, load_corpus, take
from benchmarks.encoders import default_encoder, encoder_named
from benchmarks.flops import training_flops
from benchmarks.processes import Processes, all_threads, as_a_trial, one_thread
from benchmarks.report import (
    Report,
    Row,
    add_data_option,
    options,
    positive,
    progress,
    run,
    verdict,
)
from search.hardware import detect_hardware
from trainable.config import TrialConfig
from trainable.device import pick_device
from trainable.label_stats import label_stats

LOOPS: Final = ("notebook", "hf", "engine")
_GOAL: Final = 20.0
_GPU_GOAL_S: Final = 2.5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much of each loop is timed."""

    documents: int
    """Of the sample; a round of the engine trains on all of them."""
    rounds: int
    """Of the engine; of transformers half as many; of the notebook's loop at most two."""
    reference_batches: int
    """Of a round of the other loops."""
    warm_up_docs: int
    """Of their step that is not timed."""
    processes: int
    """Side by side."""
    max_length: int = 512
    batch_size: int = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("epoch", "Training throughput of three loops on the same documents.")
    add_data_option(parser)
    parser.add_argument("--encoder", help="minilm, bert-base-random or a folder")
    parser.add_argument("--documents", type=positive, metavar="N", help="size of the sample")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="of the engine")
    return run(parser, _measure_chosen, argv)


def choose_plan(documents: int | None, rounds: int) -> Plan:
    """What suits this machine: a notebook's batch takes a minute on a core, and 0.2 s on a GPU."""
    if pick_device().type == "cuda":
        documents = documents or 1600
        return Plan(
            documents=documents,
            rounds=rounds,
            reference_batches=-(-documents // 32),
            warm_up_docs=32,
            processes=1,
        )
    return Plan(
        documents=documents or 64,
        rounds=rounds,
        reference_batches=1,
        warm_up_docs=8,
        processes=detect_hardware().cpus,
    )


def _measure_chosen(chosen: argparse.Namespace) -> Report:
    with encoder_named(chosen.encoder or default_encoder()) as encoder:
        plan = choose_plan(chosen.documents, chosen.rounds)
        corpus = load_corpus(chosen.data, encoder, max_length=plan.max_length)
        return measure(corpus, plan, encoder_label=chosen.encoder or default_encoder())


def measure(corpus: Corpus, plan: Plan, *, encoder_label: str) -> Report:
    """All loops in turn, each in processes of its own."""
    docs = corpus.sample("train", plan.documents)
    on_cpu = pick_device().type == "cpu"
    # before the processes: what they import is imported by them alone
    jobs = _jobs(corpus, docs, plan)
    parts = _parts(corpus, plan) if on_cpu else 1
    rounds = {
        name: time_rounds(
            name, dataclasses.replace(job, parts=parts), plan, one_thread() if on_cpu else {}
        )
        for name, job in jobs.items()
    }
    progress("engine")
    config = _engine_config(corpus, plan)
    sample = dataclasses.replace(
        corpus.data,
        train=take(corpus.data.train, docs),
        val=take(corpus.data.val, np.arange(1)),
    )
    with _engines(config, sample, plan.processes) as engines:
        rounds["engine"] = _rounds(engines, plan.rounds, 0, 0)
        peaks = engines.call("peak")
    figures: dict[str, Any] = {
        "encoder": encoder_label,
        "documents": _describe(corpus, docs),
        "processes": plan.processes,
        "reference_batch_parts": parts,
        "rounds_docs_per_s": rounds,
        **{f"{name}_docs_per_s": statistics.median(rounds[name]) for name in LOOPS},
    }
    if on_cpu:
        alone = dataclasses.replace(plan, processes=1, rounds=1)
        some = time_rounds("notebook, all threads", jobs["notebook"], alone, all_threads())
        figures["notebook_all_threads_docs_per_s"] = statistics.median(some)
    else:
        figures["engine_epoch_s_measured"] = _whole_epochs(config, corpus)
    figures |= _derived(figures, corpus, docs, sum(peaks))
    return Report(figures=figures, rows=_rows(figures), notes=_notes(figures, on_cpu=on_cpu))


def time_rounds(
    name: str, job: Any, plan: Plan, environment: Mapping[str, str | None]
) -> list[float]:
    """Documents per second of each round of a reference loop, summed over its processes."""
    from benchmarks.reference_loops import ReferenceLoop

    progress(name)
    count = min(2, plan.rounds) if job.kind == "notebook" else -(-plan.rounds // 2)
    with Processes(ReferenceLoop, [(job,)] * plan.processes, environment) as processes:
        return _rounds(processes, count, plan.reference_batches, plan.warm_up_docs)


def _rounds(processes: Processes, count: int, batches: int, warm_up_docs: int) -> list[float]:
    processes.call("warm_up", warm_up_docs)
    found = [processes.call("round", batches) for _ in range(count)]
    return [sum(docs / seconds for docs, seconds in answers) for answers in found]


def _jobs(corpus: Corpus, docs: Any, plan: Plan) -> dict[str, Any]:
    from benchmarks.reference_loops import LoopJob

    return {
        kind: LoopJob(
            kind=kind,
            encoder=corpus.encoder,
            texts=[corpus.texts("train")[doc] for doc in docs],
            split=take(corpus.data.train, docs),
            num_labels=corpus.data.num_labels,
            max_length=plan.max_length,
            batch_size=plan.batch_size,
        )
        for kind in ("notebook", "hf")
    }


def _parts(corpus: Corpus, plan: Plan) -> int:
    """Into how many a batch is cut, for the reference loops to fit into memory side by side."""
    from benchmarks.reference_loops import parts_that_fit

    memory = detect_hardware().memory_gib * 2**30
    return parts_that_fit(_bert_config(corpus), plan.max_length, 0.6 * memory / plan.processes)


def _bert_config(corpus: Corpus) -> Any:
    from transformers import BertConfig

    from trainable.encoders import resolve_encoder

    return BertConfig.from_pretrained(resolve_encoder(corpus.encoder), local_files_only=True)


def _engine_config(corpus: Corpus, plan: Plan) -> TrialConfig:
    mu = label_stats(corpus.data.train, corpus.data.num_labels).mu_estimate
    return TrialConfig(
        loss="db",
        mu=mu,
        encoder=corpus.encoder,
        max_length=plan.max_length,
        batch_size=plan.batch_size,
    )


def _engines(config: TrialConfig, data: Any, processes: int) -> Processes:
    from benchmarks.engine import EngineLoop

    on_cpu = pick_device().type == "cpu"
    return Processes(EngineLoop, [(config, data)] * processes, as_a_trial() if on_cpu else {})


def _whole_epochs(config: TrialConfig, corpus: Corpus) -> float:
    """Median seconds of an epoch over the whole training split."""
    progress("engine, whole training split")
    data = dataclasses.replace(corpus.data, val=take(corpus.data.val, np.arange(1)))
    with _engines(config, data, 1) as engines:
        engines.call("warm_up", 0)
        return statistics.median(engines.call("round")[0][1] for _ in range(3))


def _describe(corpus: Corpus, docs: Any) -> dict[str, Any]:
    lengths = corpus.data.train.lengths
    return {
        "source": corpus.source,
        "train_docs": len(lengths),
        "train_mean_length": float(lengths.mean()),
        "sample_docs": len(docs),
        "sample_mean_length": float(lengths[docs].mean()),
    }


def _derived(
    figures: Mapping[str, Any], corpus: Corpus, docs: Any, peak_flops: float
) -> dict[str, Any]:
    speeds = {name: figures[f"{name}_docs_per_s"] for name in LOOPS}
    total = len(corpus.data.train)
    lengths = corpus.data.train.lengths[docs].tolist()
    flops_per_doc = training_flops(lengths, _bert_config(corpus), corpus.data.num_labels) / len(
        docs
    )
    achieved = flops_per_doc * speeds["engine"]
    derived: dict[str, Any] = {
        "engine_over_notebook": speeds["engine"] / speeds["notebook"],
        "engine_over_hf": speeds["engine"] / speeds["hf"],
        # of one trial while as many run as there are processes
        **{f"{n}_epoch_s": total * figures["processes"] / s for n, s in speeds.items()},
        "engine_tflops": achieved / 1e12,
        "matmul_peak_tflops": peak_flops / 1e12,
        "engine_share_of_peak": achieved / peak_flops,
    }
    alone = figures.get("notebook_all_threads_docs_per_s")
    if alone is not None:
        derived["engine_over_notebook_all_threads"] = speeds["engine"] / alone
        derived["notebook_all_threads_epoch_s"] = total / alone
    return derived


def _rows(figures: Mapping[str, Any]) -> list[Row]:
    rows = []
    for name in (*LOOPS, "notebook_all_threads"):
        speed = figures.get(f"{name}_docs_per_s")
        if speed is None:
            continue
        rounds = figures["rounds_docs_per_s"].get(name)
        spread = f" ({min(rounds):.2f} to {max(rounds):.2f})" if rounds else ""
        rows.append(Row(what=f"{name}, documents/s", value=f"{speed:.2f}{spread}"))
        epoch_s = figures[f"{name}_epoch_s"]
        rows.append(Row(what=f"{name}, an epoch of a trial", value=f"{epoch_s:.1f} s"))
    ratio = figures["engine_over_notebook"]
    gpu_s = figures.get("engine_epoch_s_measured")
    goal = verdict(f"at least {_GOAL:g}", met=ratio >= _GOAL) if gpu_s is None else ""
    rows.append(Row(what="engine / notebook", value=f"{ratio:.1f}", goal=goal))
    if gpu_s is None:
        ratio = figures["engine_over_notebook_all_threads"]
        goal = verdict(f"at least {_GOAL:g}", met=ratio >= _GOAL)
        rows.append(Row(what="engine / notebook, all threads", value=f"{ratio:.1f}", goal=goal))
    else:
        goal = verdict(f"at most {_GPU_GOAL_S} s", met=gpu_s <= _GPU_GOAL_S)
        rows.append(Row(what="engine, a whole epoch measured", value=f"{gpu_s:.2f} s", goal=goal))
    rows.append(Row(what="engine / hf", value=f"{figures['engine_over_hf']:.1f}"))
    share = f"{figures['engine_tflops']:.3f} of {figures['matmul_peak_tflops']:.3f}"
    rows.append(Row(what="engine, TFLOP/s of the matmul peak", value=share))
    return rows


def _notes(figures: Mapping[str, Any], *, on_cpu: bool) -> list[str]:
    documents = figures["documents"]
    how = (
        f"{figures['processes']} processes of one thread side by side, throughput summed"
        if on_cpu
        else "one process"
    )
    parts = figures["reference_batch_parts"]
    cut = f"; reference batches in {parts} parts, for memory" if parts > 1 else ""
    return [
        f"{documents['source']}; encoder {figures['encoder']}; {how}{cut}",
        f"{documents['sample_docs']} of {documents['train_docs']} training documents at evenly "
        f"spaced quantiles of length: mean {documents['sample_mean_length']:.1f} word pieces, of "
        f"all {documents['train_mean_length']:.1f}",
        "median over rounds (lowest to highest); the first step is not timed",
        "epochs are projected from documents/s; the engine trains with db, the others with bce",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
