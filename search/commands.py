"""One function a command: options in, exit code out. Each imports what it needs when it runs."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from search.console import Terminal

# Heavy imports stay inside the functions: `space` must not wait for Ray, nor `data` for MLflow.


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Search, log, evaluate and export."""
    from search.request import RunRequest
    from search.run import run_search

    names = {field.name for field in dataclasses.fields(RunRequest)}
    said = {name: value for name, value in vars(options).items() if name in names}
    return run_search(RunRequest(**{**said, "settings": tuple(options.settings)}), terminal)


def resume(options: argparse.Namespace, terminal: Terminal) -> int:
    """Continue or extend a search."""
    from search.resume import ResumeRequest
    from search.run import resume_search
    from search.tracking.check import absolute_uri

    said = {
        "trials": options.trials,
        "time_budget_s": options.time_budget,
        "address": options.address,
        "tracking_uri": absolute_uri(options.tracking_uri),
    }
    changes = {name: value for name, value in said.items() if value is not None}
    request = ResumeRequest(
        name=options.name,
        runs_dir=options.runs_dir,
        changes=changes,
        add_trials=options.add_trials,
        accept_changes=options.accept_changes,
    )
    return resume_search(request, terminal)


def data(options: argparse.Namespace, terminal: Terminal) -> int:
    """Describe a dataset."""
    from search.describe import describe_dataset
    from search.describe_tables import render_description
    from search.hardware import detect_hardware
    from search.resolve import data_config
    from trainable.datasets import load_dataset
    from trainable.tokenization import encode_dataset

    config = data_config(
        options.name,
        hardware=detect_hardware(),
        data=options.data,
        encoder=options.encoder,
        split_seed=options.split_seed,
        max_train_docs=options.max_train_docs,
        settings=tuple(options.settings),
    )
    dataset = load_dataset(config)
    encoded = encode_dataset(dataset, encoder=config.encoder, max_length=config.max_length)
    description = describe_dataset(dataset, encoded, max_length=config.max_length)
    if options.json:
        terminal.say(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        terminal.show(render_description(description))
    return 0


def space(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print what is searched for a loss."""
    from search.hardware import Hardware
    from search.request import RunRequest
    from search.resolve import resolve
    from search.tables import space_table
    from trainable.config import LOSS_HYPERPARAMETERS

    request = RunRequest(
        loss=options.loss,
        tune=options.tune,
        preset="cpu-full",
        settings=tuple(options.settings),
        space=options.space,
    )
    spec = resolve(request, Hardware(cpus=1, memory_gib=1.0, gpus=0))
    terminal.show(space_table(spec.space))
    if "mu" in spec.space.names and "mu" in LOSS_HYPERPARAMETERS[spec.config.loss]:
        terminal.say("`run` centres mu on the estimate from the training labels")
    return 0


def export(options: argparse.Namespace, terminal: Terminal) -> int:
    """Write the best configuration of a search."""
    from search.export import retrain_command, write_best
    from search.preflight import find_search
    from search.results import load_search
    from trainable.paths import expand

    folder = find_search(options.name, expand(options.runs_dir, "--runs-dir").absolute())
    path = expand(options.output, "--output")
    write_best(load_search(folder), path)
    terminal.say(f"wrote    {path}")
    terminal.say(f"retrain  {retrain_command(path)}")
    return 0


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, Terminal], int]]] = MappingProxyType(
    {"run": run, "resume": resume, "data": data, "space": space, "export": export}
)
