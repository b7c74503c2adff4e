"""The parts of a search's time, from a journal made by hand; and a real search."""

import argparse
import dataclasses

import pytest
import torch

from benchmarks.encoders import write_random_bert
from benchmarks.search_overhead import main, parts_of, search_arguments
from search.hardware import Hardware
from search.options import build_parser
from search.request import RunRequest
from search.resolve import resolve


def event(kind, time, **fields):
    return {"event": kind, "time": time, **fields}


def epoch(time, seconds):
    return event("epoch", time, metrics={"time/epoch_s": seconds})


def test_parts_by_hand():
    events = [
        event("search_started", 110.0),
        event("trial_started", 125.0, trial=0),
        event("trial_started", 126.0, trial=1),
        epoch(135.0, 9.0),
        event("trial_ended", 135.5, trial=0),
        event("trial_started", 136.0, trial=2),
        epoch(137.0, 10.0),
        event("trial_ended", 137.0, trial=1),
        epoch(145.0, 9.0),
        event("trial_ended", 145.0, trial=2),
        event("test_evaluated", 150.0, trial=1),
        event("search_ended", 151.0),
    ]
    parts = parts_of(events, 100.0, 158.0, 2)
    assert parts == {
        "trials": 3,
        "slots": 2,
        "epochs": 3,
        "compute_s": 28.0,
        "wall_s": 58.0,
        "overhead": pytest.approx(58 / 14),
        "overhead_while_trials_ran": pytest.approx(20 / 14),
        "before_s": 10.0,
        "ray_and_first_imports_s": 15.0,
        "trials_s": 20.0,
        "slots_not_computing_s": 6.0,
        "gap_between_trials_s": 0.5,
        "final_test_s": 5.0,
        "closing_s": 8.0,
    }
    assert parts["wall_s"] == sum(
        parts[name]
        for name in parts
        if name in {"before_s", "ray_and_first_imports_s", "trials_s", "final_test_s", "closing_s"}
    )


@pytest.mark.parametrize(
    ("device", "gpus", "preset"), [("cuda", 1, "paper"), ("cpu", 0, "cpu-full")]
)
def test_a_gpu_trains_the_encoder_where_there_is_one(
    device, gpus, preset, encoder, monkeypatch, tmp_path
):
    monkeypatch.setattr("benchmarks.search_overhead.pick_device", lambda: torch.device(device))
    chosen = argparse.Namespace(trials=3, epochs=2, docs=50, max_length=32)
    options = build_parser().parse_args(search_arguments(tmp_path, encoder, "some.jsonl", chosen))
    names = {field.name for field in dataclasses.fields(RunRequest)}
    said = {name: value for name, value in vars(options).items() if name in names}
    request = RunRequest(**{**said, "settings": tuple(options.settings)})
    spec = resolve(request, Hardware(cpus=16, memory_gib=100.0, gpus=gpus), mu=0.5)
    assert (spec.preset, spec.gpus_per_trial, spec.trials) == (preset, gpus, 3)
    assert (spec.config.tune, spec.config.encoder) == ("all", encoder)
    assert (spec.config.max_length, spec.config.epochs, spec.config.max_train_docs) == (32, 2, 50)
    assert spec.max_concurrent == (1 if gpus else 3)


def test_a_search_that_cannot_begin(capsys, tmp_path):
    # with 512 positions, which documents of Reuters' lengths need
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    write_random_bert(tmp_path, intermediate_size=16, **small)
    encoder = str(tmp_path)
    few = ["--trials", "2", "--epochs", "1", "--docs", "120", "--max-length", "32", "--json"]
    assert main(["--encoder", encoder, "--data", str(tmp_path / "nowhere"), *few]) == 2
    assert "nowhere" in capsys.readouterr().err
