"""Training documents per second: the notebook's loop, transformers padded, this engine.

The same documents in one run. The reference loops run as they stand: one process, with all threads
of a CPU. The engine runs as a search runs trials: on a CPU one process a core, one thread each,
side by side, their throughputs summed. There the reference loops are also measured side by side.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.documents import Corpus, load_corpus
from benchmarks.encoders import default_encoder, encoder_named
from benchmarks.epoch_report import best_way, derived, notes, rows
from benchmarks.processes import Processes, all_threads, as_a_trial, one_thread
from benchmarks.report import (
    Report,
    add_data_option,
    options,
    positive,
    progress,
    run,
)
from search.hardware import detect_hardware
from trainable.config import TrialConfig
from trainable.device import pick_device
from trainable.label_stats import label_stats

_KINDS: Final = ("notebook", "hf")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much of each loop is timed."""

    documents: int
    """Of the sample; a round of the engine trains on all of them."""
    rounds: int
    """Of the engine."""
    notebook_rounds: int
    hf_rounds: int
    reference_batches: int
    """Of a round of these two."""
    warm_up_docs: int
    """Of their step that is not timed."""
    processes: int
    """Of the engine, and of the others where they run side by side."""
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
    """What suits this machine: a notebook's batch takes half a minute on a CPU, 0.2 s on a GPU."""
    if pick_device().type == "cuda":
        documents = documents or 1600
        return Plan(
            documents=documents,
            rounds=rounds,
            notebook_rounds=min(2, rounds),
            hf_rounds=-(-rounds // 2),
            reference_batches=-(-documents // 32),
            warm_up_docs=32,
            processes=1,
        )
    return Plan(
        documents=documents or 64,
        rounds=rounds,
        notebook_rounds=1,
        hf_rounds=min(2, rounds),
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
    bert = _bert_config(corpus)
    on_gpu = pick_device().type == "cuda"
    parts = 1 if on_gpu else _parts(bert, plan)
    rounds = _reference_rounds(_jobs(corpus, docs, plan), plan, parts)
    progress("engine")
    config = _engine_config(corpus, plan)
    sample = dataclasses.replace(
        corpus.data,
        train=corpus.data.train.take(docs),
        val=corpus.data.val.take(np.arange(1)),
    )
    with _engines(config, sample, plan.processes) as engines:
        rounds["engine"] = _rounds(engines, plan.rounds, 0, 0)
        peaks = engines.call("peak")
    speeds = {name: statistics.median(some) for name, some in rounds.items()}
    figures: dict[str, Any] = {
        "encoder": encoder_label,
        "documents": _describe(corpus, docs),
        "processes": plan.processes,
        "side_by_side_batch_parts": parts,
        "rounds_docs_per_s": rounds,
        **{f"{name}_docs_per_s": speed for name, speed in speeds.items()},
        "hf_docs_per_s": speeds[best_way("hf", speeds)],
        "hf_docs_per_s_is": best_way("hf", speeds),
    }
    if on_gpu:
        figures["engine_epoch_s_measured"] = _whole_epochs(config, corpus)
    lengths = corpus.data.train.lengths[docs].tolist()
    figures |= derived(figures, lengths, bert, corpus.data.num_labels, sum(peaks))
    return Report(figures=figures, rows=rows(figures), notes=notes(figures, on_gpu=on_gpu))


def _reference_rounds(jobs: dict[str, Any], plan: Plan, parts: int) -> dict[str, list[float]]:
    """Documents per second of each round of the reference loops, by loop and way of running it."""
    counts = {"notebook": plan.notebook_rounds, "hf": plan.hf_rounds}
    on_gpu = pick_device().type == "cuda"
    found = {}
    for kind in _KINDS:
        progress(f"{kind}, one process")
        environment = {} if on_gpu else all_threads()
        name = "notebook" if kind == "notebook" else f"{kind}_alone"
        found[name] = time_rounds([jobs[kind]], counts[kind], plan, environment)
    for kind in () if on_gpu else _KINDS:
        progress(f"{kind}, side by side")
        cut = [dataclasses.replace(jobs[kind], parts=parts)] * plan.processes
        found[f"{kind}_side_by_side"] = time_rounds(cut, counts[kind], plan, one_thread())
    return found


def time_rounds(
    jobs: Sequence[Any], count: int, plan: Plan, environment: dict[str, str | None]
) -> list[float]:
    """Documents per second of each round of a reference loop, summed over its processes."""
    from benchmarks.reference_loops import ReferenceLoop

    with Processes(ReferenceLoop, [(job,) for job in jobs], environment) as processes:
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
            split=corpus.data.train.take(docs),
            num_labels=corpus.data.num_labels,
            max_length=plan.max_length,
            batch_size=plan.batch_size,
        )
        for kind in _KINDS
    }


def _parts(bert: Any, plan: Plan) -> int:
    """Into how many a batch is cut, for the reference loops to fit into memory side by side."""
    from benchmarks.reference_loops import parts_that_fit

    memory = detect_hardware().memory_gib * 2**30
    return parts_that_fit(bert, plan.max_length, 0.6 * memory / plan.processes)


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
    data = dataclasses.replace(corpus.data, val=corpus.data.val.take(np.arange(1)))
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


if __name__ == "__main__":
    raise SystemExit(main())
