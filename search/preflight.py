"""Everything that can be known to go wrong before a search writes its first byte."""

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from search.cluster_check import check_cluster
from search.grace import least_grace
from search.hardware import Hardware
from search.lock import hold
from search.presets import most_concurrent
from search.published import unlike_paper
from search.samplers import HUB
from search.spec import SPEC_NAME, SearchSpec
from search.tracking import check_tracking
from spaces import AUTO
from trainable.datasets import DATASETS
from trainable.encoders import WEIGHT_SUFFIXES, check_max_length, resolve_encoder
from trainable.errors import UsageError, unknown_name
from trainable.objectives import scores_of

_OWN_FILES_BYTES: Final = 200 * 2**20
"""Study, journal, plots and MLflow store of one search, generously."""
_CHECKPOINT_WEIGHTS: Final = 6
"""What the checkpoints of a running trial take, in its weights: weights and two moments, and as
much again while a new file takes the place of the old."""


def check_spec(spec: SearchSpec, hardware: Hardware) -> list[str]:
    """Check a new search without writing anything; quick checks first.

    Returns:
        Warnings, one line each.

    Raises:
        UsageError: the search cannot run as asked.
    """
    check_folder(Path(spec.runs_dir))
    check_new(spec)
    check_machine(spec, hardware)
    check_disk(spec)
    return warnings_of(spec)


def check_new(spec: SearchSpec) -> None:
    """The dataset has a known name, and the search a new one."""
    if spec.config.dataset not in DATASETS:
        raise unknown_name("dataset", spec.config.dataset, DATASETS)
    with storage_errors(Path(spec.runs_dir)):
        taken = spec.folder.exists()
    if taken:
        raise UsageError(
            f"search '{spec.name}' exists in {spec.runs_dir}: continue it with "
            f"`python -m search resume {spec.name}`, or choose another --name"
        )


def check_machine(spec: SearchSpec, hardware: Hardware) -> None:
    """The cluster answers, or this machine holds the trials; the tracking store answers."""
    if spec.address is None:
        check_resources(spec, hardware)
    else:
        check_cluster(spec.address)
    check_tracking(spec.tracking_uri, Path(spec.runs_dir))


def check_resources(spec: SearchSpec, hardware: Hardware) -> None:
    """A trial fits on this machine, and so do `max_concurrent` of them."""
    cpus, gpus = spec.cpus_per_trial, spec.gpus_per_trial
    if gpus and not hardware.gpus:
        raise UsageError(
            f"a trial asks for {gpus:g} GPU (preset '{spec.preset}') and torch sees none here: "
            "use --preset cpu, or --gpus-per-trial 0"
        )
    if gpus > hardware.gpus:
        raise UsageError(
            f"--gpus-per-trial {gpus:g} is more than the {hardware.gpus} GPUs of this machine"
        )
    if cpus > hardware.cpus:
        raise UsageError(
            f"--cpus-per-trial {cpus:g} is more than the {hardware.cpus} CPU cores of this machine"
        )
    most = most_concurrent(hardware, cpus=cpus, gpus=gpus)
    if spec.max_concurrent > most:
        has = f"{hardware.cpus} CPU cores" + (f" and {hardware.gpus} GPUs" if gpus else "")
        needs = f"{cpus:g} CPU cores" + (f" and {gpus:g} GPU" if gpus else "")
        raise UsageError(
            f"--max-concurrent must be at most {most}, got {spec.max_concurrent}: this machine "
            f"has {has}, and a trial takes {needs}"
        )


def check_folder(runs_dir: Path) -> None:
    """The runs folder exists and can be written, or can be made.

    Raises:
        UsageError: it cannot.
    """
    with storage_errors(runs_dir), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        runs_dir.stat()  # what lies there may be out of reach
    place = nearest_folder(runs_dir)
    if not place.is_dir():
        raise UsageError(f"--runs-dir {runs_dir}: {place} is not a folder; choose another one")
    if not os.access(place, os.W_OK | os.X_OK) or _read_only(place):
        raise UsageError(f"--runs-dir {runs_dir}: {place} cannot be written; choose another one")


def check_disk(spec: SearchSpec) -> None:
    """The encoder is at hand, and there is room for the weights that a search keeps."""
    check_max_length(resolve_encoder(spec.config.encoder), spec.longest.max_length)
    needed = disk_bytes(spec)
    free = shutil.disk_usage(nearest_folder(Path(spec.runs_dir))).free
    if free < needed:
        raise UsageError(
            f"--runs-dir {spec.runs_dir}: the search may need {needed / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} GiB are free; free some space or choose another folder"
        )


def disk_bytes(spec: SearchSpec) -> int:
    """The most that the folder of a search may take while it runs.

    Beside the best trials' weights each running trial may write its own, then drops the worse; and
    its checkpoints, if there are any. A head's are next to nothing.
    """
    encoder = resolve_encoder(spec.config.encoder)
    weights = max(
        path.stat().st_size for path in encoder.iterdir() if path.suffix in WEIGHT_SUFFIXES
    )
    copies = spec.max_concurrent + 2
    copies += spec.confirm + 1 if spec.confirm else 0  # each candidate's, with the first seed
    if spec.checkpoint_every and spec.config.tune == "all":
        copies += _CHECKPOINT_WEIGHTS * spec.max_concurrent
    return weights * copies + _OWN_FILES_BYTES


def warnings_of(spec: SearchSpec) -> list[str]:
    """What will run, but perhaps not as meant."""
    found = []
    least = least_grace(spec.config, spec.space)
    if not spec.rungs:
        what = "warm up less" if spec.grace_period == least > 1 else "lower the grace period"
        found.append(
            f"ASHA cannot stop any trial: no rung lies before the last epoch (--grace-period "
            f"{spec.grace_period}, --epochs {spec.longest.epochs}); {what}"
        )
    elif spec.trials <= spec.reduction_factor:
        found.append(
            f"{spec.trials} trials are too few for ASHA to choose among with "
            f"--reduction-factor {spec.reduction_factor}"
        )
    if spec.rungs and spec.grace_period < least:
        found.append(
            f"--grace-period {spec.grace_period} ends before the longest warm-up does: ASHA would "
            f"judge trials by their warm-up; give {least} or more"
        )
    if left_out := spec.space.losses[spec.trials :]:
        found.append(
            f"{spec.trials} trials try the paper's values of so many losses: {', '.join(left_out)} "
            f"may not be tried; --trials {len(spec.space.losses)} tries all"
        )
    if spec.space.loss == AUTO and spec.sampler.startswith(HUB):
        found.append(
            f"--sampler {spec.sampler} may draw at random what not every loss has; tpe learns it"
        )
    for name in spec.space.without_paper_value:
        found.append(
            f"the range of '{name}' leaves out the paper's value: trial 0 takes the nearest one"
        )
    moved = [name for name in unlike_paper(spec) if name not in spec.space.names]
    if moved:
        found.append(
            f"{', '.join(moved)} fixed at another value than the paper's: trial 0 has 'starting "
            "values' instead of the paper's"
        )
    if not spec.space.names:
        found.append("nothing is searched: every trial has the same settings")
    return found


def check_objective(spec: SearchSpec, groups: Collection[str]) -> None:
    """What trials are judged by exists in these data.

    Raises:
        UsageError: the tail is judged, and no label is of it.
    """
    if "tail_micro_f1" in scores_of(spec.config.objective) and "tail" not in groups:
        raise UsageError(
            f"--objective {spec.config.objective}: these data have no tail labels to judge by: "
            "choose micro_f1 or macro_f1"
        )


def points_left_out(spec: SearchSpec) -> list[str]:
    """A warning if there are more first points than trials; they are known once the data are."""
    losses = len(spec.space.losses)  # the paper's values of each come first
    tried = min(len(spec.points), max(0, spec.trials - losses))
    if tried == len(spec.points):
        return []
    return [
        f"{len(spec.points)} first points were given, of which {spec.trials} trials try "
        f"{tried}; --trials {len(spec.points) + losses} tries all"
    ]


def find_search(name: str, runs_dir: Path) -> Path:
    """The folder of an existing search.

    Raises:
        UsageError: there is none of that name, or it cannot be looked for.
    """
    folder = runs_dir / name
    with storage_errors(runs_dir, "read"):
        found = (folder / SPEC_NAME).is_file()
    if not found:
        names = sorted(path.parent.name for path in runs_dir.glob(f"*/{SPEC_NAME}"))
        if not names:
            raise UsageError(f"no search '{name}': {runs_dir} holds none; see --runs-dir")
        raise unknown_name("search", name, names)
    return folder


def make_folder(spec: SearchSpec) -> None:
    """Create the folder of a new search: the first thing that is written.

    Raises:
        UsageError: it cannot be created, or another search just took the name.
    """
    try:
        Path(spec.runs_dir).mkdir(parents=True, exist_ok=True)
        spec.folder.mkdir()
    except FileExistsError:
        check_new(spec)
        raise
    except OSError as error:
        raise storage_error(error, Path(spec.runs_dir)) from None


def drop_folder(spec: SearchSpec) -> None:
    """Undo `make_folder`: of a search that could not begin nothing stays."""
    shutil.rmtree(spec.folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other searches live there
        Path(spec.runs_dir).rmdir()


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """`hold` the folder of a search, where it can be written.

    Raises:
        UsageError: another process runs this search, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        with storage_errors(folder.parent):
            stack.enter_context(hold(folder))
        yield


@contextlib.contextmanager
def storage_errors(runs_dir: Path, verb: str = "written") -> Iterator[None]:
    """Within: an OSError becomes the one line of `storage_error`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, runs_dir, verb) from None


def storage_error(error: OSError, runs_dir: Path, verb: str = "written") -> UsageError:
    """The one line for a runs folder that is full, or cannot be written (read) after all."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UsageError(
            f"--runs-dir {runs_dir}: no space left; free some and resume, or choose another folder"
        )
    return UsageError(
        f"--runs-dir {runs_dir}: cannot be {verb} ({error.strerror}); choose another folder"
    )


def nearest_folder(path: Path) -> Path:
    """The nearest thing on the way to `path` that exists."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _read_only(place: Path) -> bool:
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
