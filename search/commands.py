"""One function a command: options in, exit code out. Each imports what it needs when it runs."""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from search.console import Terminal
from trainable.errors import UsageError

# Heavy imports stay inside the functions: `space` must not wait for Ray, nor `data` for MLflow.


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Search, log, evaluate and export."""
    from search.request import RunRequest

    names = {field.name for field in dataclasses.fields(RunRequest)}
    said = {name: value for name, value in vars(options).items() if name in names}
    lists = {"settings": tuple(options.settings), "points": tuple(options.points)}
    lists["warm_start"] = tuple(options.warm_start)
    request = RunRequest(**{**said, **lists})
    if options.restart is not None:
        from search.resolve import name_of

        return _supervised(options, name_of(request), terminal)
    from search.run import run_search

    return run_search(request, terminal)


def resume(options: argparse.Namespace, terminal: Terminal) -> int:
    """Continue or extend a search."""
    if options.restart is not None:
        return _supervised(_with_total_trials(options), options.name, terminal)
    from search.resume import ResumeRequest, resume_changes
    from search.run import resume_search

    request = ResumeRequest(
        name=options.name,
        runs_dir=options.runs_dir,
        changes=resume_changes(vars(options)),
        add_trials=options.add_trials,
        accept_changes=options.accept_changes,
        trust=options.trust,
    )
    return resume_search(request, terminal)


def list_(options: argparse.Namespace, terminal: Terminal) -> int:
    """List the searches of a runs folder."""
    from search.listing import list_searches, listing_table, row_of

    found = list_searches(_runs_dir(options))
    if options.json:
        terminal.say(json.dumps([row_of(item) for item in found], indent=2, ensure_ascii=False))
        return 0
    if any(item.record for item in found):
        terminal.out.print(listing_table(found))
    for item in found:
        if item.record is None:
            terminal.warn(f"{item.folder.name} is damaged: {item.error}")
    if not found:
        terminal.say(f"no searches in {_runs_dir(options)}; see --runs-dir")
    return 0


def show(options: argparse.Namespace, terminal: Terminal) -> int:
    """Show a search, running or not."""
    from search.show import describe_search, show_search

    folder = _folder_of(options)
    if options.json:
        terminal.say(json.dumps(describe_search(folder), indent=2, ensure_ascii=False))
    else:
        show_search(folder, options.runs_dir, terminal)
    return 0


def stop(options: argparse.Namespace, terminal: Terminal) -> int:
    """Stop a running search, or one of its trials."""
    from search.stop import stop_search, stop_trial

    folder = _folder_of(options)
    if options.trial is None:
        stop_search(folder, terminal)
    else:
        stop_trial(folder, options.trial, terminal)
    return 0


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

    request = RunRequest(
        loss=options.loss,
        tune=options.tune,
        preset="cpu-full",
        settings=tuple(options.settings),
        space=options.space,
    )
    spec = resolve(request, Hardware(cpus=1, memory_gib=1.0, gpus=0))
    terminal.show(space_table(spec.space))
    if "mu" in spec.space.names:
        terminal.say("`run` centres mu on the estimate from the training labels")
    return 0


def export(options: argparse.Namespace, terminal: Terminal) -> int:
    """Write the best configuration of a search."""
    from search.export import retrain_command, write_best
    from search.results import load_search
    from trainable.paths import expand

    folder = _folder_of(options)
    path = expand(options.output, "--output")
    write_best(load_search(folder), path, options.trial)
    terminal.say(f"wrote    {path}")
    terminal.say(f"retrain  {retrain_command(path)}")
    return 0


def baseline(options: argparse.Namespace, terminal: Terminal) -> int:
    """Train a simple model to compare with."""
    from search.baseline.command import run_baseline

    return run_baseline(options, terminal)


def compare(options: argparse.Namespace, terminal: Terminal) -> int:
    """Compare losses."""
    from search.compare.command import run_compare

    return run_compare(options, terminal)


def sync(options: argparse.Namespace, terminal: Terminal) -> int:
    """Send MLflow what it has not recorded."""
    from search.sync import sync_all, sync_search
    from search.tracking.check import absolute_uri

    if (options.name is None) != options.all:
        raise UsageError("give the NAME of a search, or --all: see `python -m search sync --help`")
    uri = absolute_uri(options.tracking_uri)
    if not options.all:
        return sync_search(_folder_of(options), uri, terminal, as_json=options.json)
    from search.spec import SPEC_NAME

    folders = sorted(path.parent for path in _runs_dir(options).glob(f"*/{SPEC_NAME}"))
    if not folders:
        raise UsageError(f"no searches in {_runs_dir(options)}; see --runs-dir")
    return sync_all(folders, uri, terminal, as_json=options.json)


def report(options: argparse.Namespace, terminal: Terminal) -> int:
    """Write the report of a search, running or not."""
    from search.report_page import write_report
    from trainable.paths import expand

    folder = _folder_of(options)
    path = None if options.output is None else expand(options.output, "--output")
    written = write_report(folder, path, runs_dir=options.runs_dir)
    terminal.say(f"wrote    {written}")
    return 0


def register(options: argparse.Namespace, terminal: Terminal) -> int:
    """Register a trained model."""
    from search.models.register import register

    where = options.tracking_uri, _runs_dir(options)
    return register(options.model, options.name, *where, terminal)


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, Terminal], int]]] = MappingProxyType(
    {"run": run, "resume": resume, "list": list_, "show": show, "stop": stop}
    | {"data": data, "space": space, "export": export, "report": report}
    | {"baseline": baseline, "compare": compare, "sync": sync, "register": register}
)


def _runs_dir(options: argparse.Namespace) -> Path:
    from trainable.paths import expand

    return expand(options.runs_dir, "--runs-dir").absolute()


def _folder_of(options: argparse.Namespace) -> Path:
    from search.preflight import find_search

    return find_search(options.name, _runs_dir(options))


def warn_of_passwords(options: argparse.Namespace, terminal: Terminal) -> None:
    """Of addresses on the command line of any command, once."""
    from search.credentials import VARIABLES, has_credentials

    for name, variable in VARIABLES.items():
        if has_credentials(getattr(options, name, None)):
            terminal.warn(
                f"--{name.replace('_', '-')} holds a password, and every user of this machine (and "
                "of a Ray cluster) can read a command line: put the address into "
                f"${variable} instead"
            )


def _with_total_trials(options: argparse.Namespace) -> argparse.Namespace:
    """The options with `--trials` in place of `--add-trials`: they may be repeated."""
    if options.add_trials is None:
        return options
    from search.resume import ResumeRequest, resumed_spec
    from search.supervisor import with_total

    request = ResumeRequest(
        name=options.name, runs_dir=options.runs_dir, add_trials=options.add_trials
    )
    argv = with_total(options.argv, resumed_spec(request).trials)
    return argparse.Namespace(**{**vars(options), "argv": argv})


def _supervised(options: argparse.Namespace, name: str, terminal: Terminal) -> int:
    from search.supervisor import (
        concealed,
        python_command,
        resume_arguments,
        supervise,
        without_restart,
    )

    if options.restart < 0:
        raise UsageError(f"--restart must be at least 0, got {options.restart}")
    argv, variables = concealed(without_restart(options.argv))
    again, more = concealed(resume_arguments(options, name))
    os.environ.update(variables | more)  # of the children
    return supervise(
        _runs_dir(options) / name,
        python_command(argv if options.name else [*argv, "--name", name]),
        python_command(again),
        restarts=options.restart,
        terminal=terminal,
    )
