"""Seconds until a trial begins its first step: in a fresh process, and in one that is warm.

Where Ray is installed the same through an actor of the search, the start of its process included.
"""

import argparse
import importlib.util
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.documents import load_corpus
from benchmarks.encoders import default_encoder, encoder_named
from benchmarks.fresh_trial import FreshTrial
from benchmarks.processes import Processes, as_a_trial
from benchmarks.report import Report, Row, add_data_option, options, progress, run, verdict
from trainable.config import TrialConfig
from trainable.device import pick_device
from trainable.encoded import EncodedDataset
from trainable.label_stats import label_stats

_FIRST_GOAL_S: Final = 2.0
_WARM_GOAL_S: Final = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("startup", "Seconds from the start of a trial to its first step.")
    add_data_option(parser)
    parser.add_argument("--encoder", help="minilm, bert-base-random or a folder")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out")
    return run(parser, _measure_chosen, argv)


def _measure_chosen(chosen: argparse.Namespace) -> Report:
    with encoder_named(chosen.encoder or default_encoder()) as encoder:
        corpus = load_corpus(chosen.data, encoder, max_length=512)
        with_ray = not chosen.no_ray and importlib.util.find_spec("ray") is not None
        return measure(corpus.data, three_trials(encoder, corpus.data), with_ray=with_ray)


def three_trials(
    encoder: str, data: EncodedDataset, *, max_length: int = 512, batch_size: int = 32
) -> list[TrialConfig]:
    """Trials as a search would run them one after the other in a process."""
    first = TrialConfig(
        loss="db",
        mu=label_stats(data.train, data.num_labels).mu_estimate,
        encoder=encoder,
        max_length=max_length,
        batch_size=batch_size,
    )
    return [first, first.replace(learning_rate=3e-4, dropout=0.2), first.replace(gamma=1.0, seed=1)]


def measure(data: EncodedDataset, configs: Sequence[TrialConfig], *, with_ray: bool) -> Report:
    """The trials of `configs` in one fresh process, and again in a Ray actor."""
    progress("a fresh process")
    environment = as_a_trial() if pick_device().type == "cpu" else {}
    called = time.perf_counter()
    with Processes(FreshTrial, [(data,)], environment) as processes:
        imports_s = time.perf_counter() - called
        starts = [processes.call("start", config)[0] for config in configs]
    figures: dict[str, Any] = {
        "encoder": configs[0].encoder,
        "process_and_imports_s": imports_s,
        "first_s": starts[0]["begins_after_s"],
        "warm_s": [start["begins_after_s"] for start in starts[1:]],
        "first_step_done_s": [start["done_after_s"] for start in starts],
        "ray": None,
    }
    if with_ray:
        progress("a Ray actor")
        from benchmarks.startup_ray import measure_actor

        figures["ray"] = measure_actor(data, configs)
    return Report(figures=figures, rows=_rows(figures), notes=_notes(figures))


def _rows(figures: Mapping[str, Any]) -> list[Row]:
    rows = [Row(what="process and imports", value=f"{figures['process_and_imports_s']:.2f} s")]
    rows += _start_rows("", figures["first_s"], figures["warm_s"])
    ray = figures["ray"]
    if ray is not None:
        rows.append(
            Row(what="actor: process and imports", value=f"{ray['process_and_imports_s']:.2f} s")
        )
        rows += _start_rows("actor: ", ray["first_s"], ray["warm_s"])
    return rows


def _start_rows(where: str, first_s: float, warm_s: Sequence[float]) -> list[Row]:
    return [
        Row(
            what=f"{where}first trial, after the imports",
            value=f"{first_s:.2f} s",
            goal=verdict(f"at most {_FIRST_GOAL_S:g} s", met=first_s <= _FIRST_GOAL_S),
        ),
        *(
            Row(
                what=f"{where}trial {number}, warm",
                value=f"{seconds:.2f} s",
                goal=verdict(f"at most {_WARM_GOAL_S:g} s", met=seconds <= _WARM_GOAL_S),
            )
            for number, seconds in enumerate(warm_s, start=2)
        ),
    ]


def _notes(figures: Mapping[str, Any]) -> list[str]:
    done = ", ".join(f"{seconds:.2f}" for seconds in figures["first_step_done_s"])
    notes = [
        "from the call that starts a trial to the beginning of its first step",
        f"that step was done {done} s after the call",
    ]
    return notes if figures["ray"] is not None else [*notes, "without Ray"]


if __name__ == "__main__":
    raise SystemExit(main())
