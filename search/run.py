"""One search from its options to its results: the order of the steps, and what survives a failure.

Nothing is written before everything was checked and the data were read. Once there is a folder,
whatever happens - Ctrl-C, a dead tracker, a plot that fails - what was measured is summed up.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from search import preflight, strangers
from search.chosen import chosen_table
from search.console import Terminal
from search.describe import describe_dataset
from search.dry_run import dry_run, say_outlook
from search.export import BEST_NAME, write_best
from search.files import write_json
from search.first_points import first_points
from search.hardware import Hardware, detect_hardware
from search.plots import draw_plots
from search.progress import Progress
from search.provenance import describe_origin
from search.published import published_for
from search.report import say_where, show_results
from search.report_page import write_report
from search.request import RunRequest, says
from search.resolve import resolve
from search.results import DATASET_NAME, VERSIONS_NAME, SearchRecord, load_search
from search.resume import Comparison, ResumeRequest, nothing_left, resumed_spec
from search.spec import SearchSpec
from search.summary import TRIALS_NAME, write_summary
from search.tables import (
    counts_line,
    data_line,
)
from search.tracking import Tracker
from search.tuner import run_trials
from search.warm_start import EarlierTrial, gather, write_warm_start
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.datasets import TooFewDocumentsError, load_dataset
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError, UserError, one_line
from trainable.label_stats import label_stats
from trainable.tokenization import encode_dataset

DONE: Final = 0
INTERRUPTED: Final = 130
TRACKER_FLUSH_S: Final = 30.0

_GIB_PER_PROCESS: Final = 1.5
"""Of memory, for a process that computes features."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The data of a search, read and encoded."""

    encoded: EncodedDataset
    description: dict[str, Any]
    """The content of dataset.json."""
    mu: float
    """The training labels' estimate of mu."""


def run_search(request: RunRequest, terminal: Terminal) -> int:
    """Run a new search; returns the exit code.

    Raises:
        UsageError: bad input; nothing was written.
        UserError: no trial finished an epoch.
    """
    out, terminal = terminal, _beside(request, terminal)
    hardware = detect_hardware()
    spec = resolve(request, hardware)
    warnings = preflight.check_spec(spec, hardware)
    earlier = _earlier(request, spec)
    terminal.show(chosen_table(spec))
    for warning in warnings:
        terminal.warn(warning)
    request = dataclasses.replace(request, name=spec.name)
    try:
        data = read_data(spec.longest, terminal, hardware)
    except TooFewDocumentsError as error:
        if says(request, "max_train_docs"):
            raise
        terminal.warn(
            f"{error.needed} training documents instead of the preset's "
            f"{spec.config.max_train_docs}: every label needs one"
        )
        request = dataclasses.replace(request, max_train_docs=error.needed)
        data = read_data(resolve(request, hardware).longest, terminal, hardware)
    spec = resolve(request, hardware, mu=data.mu)
    preflight.check_objective(spec, data.encoded.groups)
    if earlier is not None:
        spec = spec.replace(points=(*spec.points, *first_points(earlier, spec)))
    for warning in preflight.points_left_out(spec):
        terminal.warn(warning)
    _say_mu(spec, data, terminal)
    warm = gather(spec, data.description["fingerprint"]) if spec.warm_start else ()
    if warm:
        terminal.say(f"warm start: {len(warm)} trials of {', '.join(spec.warm_start)}")
    if request.dry_run:
        return dry_run(spec, data.encoded, hardware, out, as_json=request.json)
    say_outlook(spec, data.encoded, hardware, terminal)
    preflight.make_folder(spec)
    with preflight.own_folder(spec.folder):
        _write_start(spec, data, hardware, warm)
        try:
            return _search(spec, data.encoded, terminal)
        except UsageError:
            if not load_search(spec.folder).trials:
                preflight.drop_folder(spec)
            raise


def _beside(request: RunRequest, terminal: Terminal) -> Terminal:
    """Where to talk: beside the JSON, if that is asked for."""
    if request.json and not request.dry_run:
        raise UsageError("--json belongs to --dry-run: add it, or leave --json out")
    return Terminal(terminal.err, terminal.err) if request.json else terminal


def _say_mu(spec: SearchSpec, data: Data, terminal: Terminal) -> None:
    users = [loss for loss in spec.space.losses if "mu" in LOSS_HYPERPARAMETERS[loss]]
    mu = spec.of_loss(users[0]).config.mu if users else None
    if mu is not None:
        origin = "estimated from" if mu == data.mu else "fixed; estimate from"
        terminal.say(f"mu {mu:.3f} ({origin} the training labels: {data.mu:.3f})")


def _earlier(request: RunRequest, spec: SearchSpec) -> SearchRecord | None:
    """The search to start from, if there is one and it has something to give."""
    for name in spec.warm_start:
        preflight.find_search(name, Path(spec.runs_dir))
    if request.start_from is None:
        return None
    record = load_search(preflight.find_search(request.start_from, Path(spec.runs_dir)))
    first_points(record, spec)
    return record


def resume_search(request: ResumeRequest, terminal: Terminal) -> int:
    """Continue, or extend, a search; returns the exit code.

    Raises:
        UsageError: no such search, it is running, it is not what it was, or it cannot run here.
    """
    spec = resumed_spec(request)
    strangers.check_trusted(spec, said=request.changes, trust=request.trust)
    preflight.check_folder(spec.folder)
    hardware = detect_hardware()
    preflight.check_machine(spec, hardware)
    preflight.check_disk(spec)
    with preflight.own_folder(spec.folder):
        terminal.show(chosen_table(spec))
        record = load_search(spec.folder)
        if nothing_left(spec, record):
            _sum_up(spec, terminal, _tracker(spec, terminal))
            terminal.say(
                f"nothing was left to do: {spec.trials} trials have ended and the best one has "
                "its test scores; --add-trials N extends the search"
            )
            return DONE
        comparison = Comparison.of(spec, hardware)
        comparison.check(terminal, accept=request.accept_changes)
        data = read_data(spec.longest, terminal, hardware)
        comparison.check_data(data.description["fingerprint"])
        with preflight.storage_errors(Path(spec.runs_dir)):
            strangers.save_own(spec)
        return _search(spec, data.encoded, terminal, comparison)


def read_data(config: TrialConfig, terminal: Terminal, hardware: Hardware) -> Data:
    """Load, encode and describe the data that `config` names; with features for its head."""
    terminal.say()
    terminal.say(f"reading {config.dataset} ...", style="dim")
    dataset = load_dataset(config)
    encoded = encode_dataset(dataset, encoder=config.encoder, max_length=config.max_length)
    terminal.say(data_line(dataset))
    if config.tune == "head":
        from trainable.features import with_features  # imports transformers: 4 s

        terminal.say("features of the frozen encoder ...", style="dim")
        processes = max(1, int(min(hardware.cpus, hardware.memory_gib / _GIB_PER_PROCESS)))
        with terminal.progress() as on_progress:
            encoded = with_features(encoded, config, processes=processes, on_progress=on_progress)
    description = describe_dataset(dataset, encoded, max_length=config.max_length)
    return Data(
        encoded=encoded,
        description={**description, "encoded_fingerprint": encoded.fingerprint},
        mu=label_stats(encoded.train, encoded.num_labels).mu_estimate,
    )


def _write_start(
    spec: SearchSpec, data: Data, hardware: Hardware, warm: Sequence[EarlierTrial]
) -> None:
    """The files that say what is searched; a folder that cannot hold them goes again."""
    try:
        strangers.save_own(spec)
        if warm:
            write_warm_start(spec.folder, warm)
        write_json(spec.folder / DATASET_NAME, data.description)
        origin = describe_origin(spec, hardware, Path.cwd(), data=data.description["fingerprint"])
        write_json(spec.folder / VERSIONS_NAME, origin)
    except OSError as error:
        preflight.drop_folder(spec)
        raise preflight.storage_error(error, Path(spec.runs_dir)) from None


def _tracker(spec: SearchSpec, terminal: Terminal) -> Tracker:
    tracker = Tracker(spec.folder, tracking_uri=spec.tracking_uri, report=terminal.warn)
    terminal.say(f"MLflow: {', then '.join(tracker.links)}")
    return tracker


def _search(
    spec: SearchSpec,
    data: EncodedDataset,
    terminal: Terminal,
    comparison: Comparison | None = None,
) -> int:
    """Run the trials and sum up; `comparison` is of an attempt that is not the first."""
    tracker = _tracker(spec, terminal)
    changes = comparison.changes if comparison else ()
    keep = (comparison.keep,) if comparison else ()

    def track(event: dict[str, Any]) -> None:
        if event["event"] == "trial_started":
            tracker.start()  # a search that cannot even begin leaves no trace in MLflow

    stopped = False
    try:
        with Progress(spec, terminal.out, terminal.headline) as progress:
            run_trials(spec, data, listeners=(*keep, progress, track), changes=changes)
    except KeyboardInterrupt:
        stopped = True
    except UsageError:  # the cluster is not what it should be: nothing ran
        raise
    except BaseException:
        try:
            _sum_up(spec, terminal, tracker)
        except Exception as error:  # noqa: BLE001 - must not hide what ended the search
            terminal.warn(f"the results could not be summed up: {one_line(error)}")
        raise
    record = _sum_up(spec, terminal, tracker)
    if stopped or record.status == "interrupted":
        terminal.say(f"interrupted; continue with: python -m search resume {spec.name}")
        return INTERRUPTED
    _check_scored(record)
    return DONE


def _check_scored(record: SearchRecord) -> None:
    why = record.reason or record.status
    if record.best is None:
        raise UserError(
            f"no trial finished an epoch ({record.folder / TRIALS_NAME} tells of each): {why}"
        )
    if record.test_report is None:
        raise UserError(
            f"trial {record.best.number} has no test scores ({why}); score it with "
            f"`python -m search resume {record.spec.name}`"
        )


def _sum_up(spec: SearchSpec, terminal: Terminal, tracker: Tracker) -> SearchRecord:
    """Write and print the results that there are."""
    record = load_search(spec.folder)
    try:
        summary = write_summary(record)
    except OSError as error:
        raise UserError(
            f"{spec.folder}: the results cannot be written ({error.strerror}): free space or check "
            f"the folder, then `python -m search resume {spec.name}`"
        ) from None
    if record.best is not None:
        write_best(record, spec.folder / BEST_NAME)
    _draw(record, terminal)
    if record.trials:
        tracker.start()  # where only the test evaluation was left, no trial has started it
    tracker.close(TRACKER_FLUSH_S)
    show_results(record, summary, terminal)
    terminal.note(counts_line(summary))
    terminal.say()
    say_where(record, terminal, tracker.links)
    return record


def _draw(record: SearchRecord, terminal: Terminal) -> None:
    _, published = published_for(record)
    for what, write in (
        ("plots", lambda: draw_plots(record, published)),
        ("report", lambda: write_report(record.folder)),
    ):
        try:
            write()
        except Exception as error:  # noqa: BLE001 - a picture is never worth the results
            terminal.warn(f"the {what} could not be drawn: {one_line(error)}")
