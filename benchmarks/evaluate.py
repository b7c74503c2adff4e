"""What an evaluation of the validation split costs beside training."""

import argparse
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.documents import Corpus, load_corpus
from benchmarks.encoders import default_encoder, encoder_named
from benchmarks.engine import EngineLoop
from benchmarks.processes import Processes, as_a_trial
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
from trainable.config import TrialConfig
from trainable.device import pick_device
from trainable.label_stats import label_stats

_GOAL: Final = 0.10
VAL_DOCS: Final = 1000
PUBMED_LABELS: Final = 18_211


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("evaluate", "Validation of 1,000 documents as a share of a training epoch.")
    add_data_option(parser)
    parser.add_argument("--encoder", help="minilm, bert-base-random or a folder")
    parser.add_argument("--train-docs", type=positive, metavar="N", help="size of the sample")
    parser.add_argument("--val-docs", type=positive, metavar="N", help="size of the sample")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N")
    return run(parser, _measure_chosen, argv)


def _measure_chosen(chosen: argparse.Namespace) -> Report:
    on_cpu = pick_device().type == "cpu"
    with encoder_named(chosen.encoder or default_encoder()) as encoder:
        corpus = load_corpus(chosen.data, encoder, max_length=512)
        config = TrialConfig(
            loss="db",
            mu=label_stats(corpus.data.train, corpus.data.num_labels).mu_estimate,
            encoder=encoder,
        )
        return measure(
            corpus,
            config,
            train_docs=chosen.train_docs or (96 if on_cpu else len(corpus.data.train)),
            val_docs=chosen.val_docs or (256 if on_cpu else VAL_DOCS),
            rounds=chosen.rounds,
        )


def measure(
    corpus: Corpus, config: TrialConfig, *, train_docs: int, val_docs: int, rounds: int
) -> Report:
    """Train and validate on samples in one process, and scale by the numbers of documents."""
    progress("training and validation, in turns")
    samples = {"train": corpus.sample("train", train_docs), "val": corpus.sample("val", val_docs)}
    data = dataclasses.replace(
        corpus.data,
        train=corpus.data.train.take(samples["train"]),
        val=corpus.data.val.take(samples["val"]),
    )
    environment = as_a_trial() if pick_device().type == "cpu" else {}
    with Processes(EngineLoop, [(config, data)], environment) as engine:
        engine.call("warm_up", 0)
        speeds = [
            {
                what: docs / seconds
                for what, (docs, seconds) in (
                    ("train", engine.call("round")[0]),
                    ("validate", engine.call("validate")[0]),
                )
            }
            for _ in range(rounds)
        ]
        metrics_s = statistics.median(
            engine.call("metrics", VAL_DOCS, PUBMED_LABELS)[0]
            for _ in range(rounds + 1)  # the first touches its memory; the median forgets it
        )
    figures = _figures(corpus, speeds, metrics_s)
    figures["train_sample_docs"], figures["val_sample_docs"] = map(len, samples.values())
    return Report(figures=figures, rows=_rows(figures), notes=_notes(corpus, figures))


def _figures(
    corpus: Corpus, speeds: Sequence[Mapping[str, float]], metrics_s: float
) -> dict[str, Any]:
    train_speed, validation_speed = (
        statistics.median(speed[what] for speed in speeds) for what in ("train", "validate")
    )
    epoch_s = len(corpus.data.train) / train_speed
    validation_s = VAL_DOCS / validation_speed
    return {
        "source": corpus.source,
        "train_docs_per_s": train_speed,
        "validation_docs_per_s": validation_speed,
        "rounds": list(speeds),
        "epoch_s": epoch_s,
        "validation_docs": VAL_DOCS,
        "validation_s": validation_s,
        "share_of_epoch": validation_s / epoch_s,
        f"metrics_{PUBMED_LABELS}_labels_s": metrics_s,
    }


def _rows(figures: Mapping[str, Any]) -> list[Row]:
    share = figures["share_of_epoch"]
    return [
        Row(what="training epoch", value=f"{figures['epoch_s']:.2f} s"),
        Row(what="validation", value=f"{figures['validation_s']:.3f} s"),
        Row(
            what="validation / training epoch",
            value=f"{share:.1%}",
            goal=verdict(f"at most {_GOAL:.0%}", met=share <= _GOAL),
        ),
        Row(
            what=f"metrics alone, of {PUBMED_LABELS:,} labels",
            value=f"{figures[f'metrics_{PUBMED_LABELS}_labels_s']:.2f} s",
        ),
    ]


def _notes(corpus: Corpus, figures: Mapping[str, Any]) -> list[str]:
    return [
        f"{corpus.source}; epoch of {len(corpus.data.train)} documents, validation of {VAL_DOCS}: "
        "forward passes, loss and all metrics",
        f"measured on {figures['train_sample_docs']} and {figures['val_sample_docs']} documents at "
        "evenly spaced quantiles of length, and scaled",
        f"metrics alone: from random probabilities and labels of {VAL_DOCS} documents",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
