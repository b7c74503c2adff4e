"""The Ray instance under a search: a private one that leaves nothing behind, or a given cluster."""

import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from search.cluster_check import check_cluster
from search.guardian import guarded, kill_processes_of
from search.hardware import detect_hardware
from search.lock import hold, is_live
from trainable.allocator import allocator_environment, inherited
from trainable.child_environment import without_secrets
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError, UserError, one_line

if TYPE_CHECKING:
    from search.spec import SearchSpec

_MIB: Final = 2**20
_SMALLEST_STORE: Final = 100 * _MIB
_LONGEST_TEMP: Final = 40
"""Characters: a socket's path, which Ray makes below it, may have 107."""
_START_TRIES: Final = 3
"""Ray gives itself 30 s to start, which is not enough on a machine that is busy otherwise."""
_SCRATCH_PREFIX: Final = "lts-"

_ENVIRONMENT: Final = {
    # silence: Tune's boxes and tables, its loggers, its printed tracebacks; no usage statistics
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # "(raylet) A worker died ...", whatever log_to_driver says
    # Tune's snapshots are never read (DESIGN D16); signals are ours (search/stopping.py)
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # workers stay where they are; `uv run` must not ship the working directory
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # as Ray will do by default: hide the GPUs from a trial that asked for none
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


def prepare_environment(*, private: bool) -> None:
    """Set Ray's environment variables. Call before ray is first imported.

    A private instance gets a token of its own: its ports listen on all interfaces, and Ray's
    default would write one into HOME. Its workers find our packages where this process did. On a
    cluster the user's settings count.
    """
    os.environ.update(_ENVIRONMENT)
    if private:
        _share_import_path()
    # Ray reads the mode when it is imported: later it can only be confirmed
    if private and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    else:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")


def _share_import_path() -> None:
    home = str(Path(__file__).resolve().parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if home not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([home, *paths])


@contextlib.contextmanager
def ray_instance(
    spec: "SearchSpec", data: EncodedDataset, *, weights_bytes: int = 0
) -> Iterator[Path]:
    """Ray up and running while the block runs; gives a scratch folder for Tune.

    Its object store holds `data`, and weights of so many bytes.

    Raises:
        UsageError: the cluster does not answer, or has no room for a single trial.
    """
    if spec.address is not None:
        check_cluster(spec.address)
    prepare_environment(private=spec.address is None)
    import ray

    sweep(Path(_temp_root()))
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=_temp_root()))
    guard = guarded(scratch, processes=spec.address is None)
    with guard, _handlers_restored(), hold(scratch):
        try:
            _start(spec, data, weights_bytes, scratch)
            _check_room(spec, ray.cluster_resources())
            yield scratch / "tune"
        finally:
            ray.shutdown()
            kill_processes_of(scratch)
            shutil.rmtree(scratch, ignore_errors=True)


def sweep(root: Path, *, older_than_s: float = 3600.0) -> None:
    """Remove the scratch folders of searches that were killed."""
    for folder in root.glob(f"{_SCRATCH_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            found = folder.lstat()
            ours = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
            if ours and time.time() - found.st_mtime > older_than_s and not is_live(folder):
                shutil.rmtree(folder)


def object_store_bytes(data: EncodedDataset, weights_bytes: int, shm_free: int) -> int:
    """Room for the data twice (trials, test evaluation), the pristine weights and some.

    Within /dev/shm if possible.
    """
    needed = max(_SMALLEST_STORE, 2 * _num_bytes(data) + weights_bytes + 64 * _MIB)
    capped = min(needed, int(0.9 * shm_free))
    # a container's 64 MiB of /dev/shm is too little for anything: Ray then uses the disk
    least = max(_SMALLEST_STORE, _num_bytes(data) + weights_bytes)
    return capped if capped >= least else needed


def plain_arrays(data: EncodedDataset) -> EncodedDataset:
    """The same data with memory maps as plain arrays, which Ray shares instead of copying."""
    splits = {}
    for name in ("train", "val", "test"):
        split = getattr(data, name)
        arrays = {field: np.asarray(array) for field, array in split.arrays.items()}
        splits[name] = dataclasses.replace(split, **arrays)
    return dataclasses.replace(data, **splits)


def _start(spec: "SearchSpec", data: EncodedDataset, weights_bytes: int, scratch: Path) -> None:
    import ray

    local = {} if spec.address else _private_options(spec, data, weights_bytes, scratch)
    for tries_left in reversed(range(_START_TRIES if spec.address is None else 1)):
        try:
            with inherited(without_secrets(os.environ) if spec.address is None else {}):
                ray.init(
                    address=spec.address or "local",
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **local,
                )
            break
        except Exception as error:  # Ray raises bare ones
            kill_processes_of(scratch)
            if spec.address is not None:
                raise UsageError(
                    f"the Ray cluster at {spec.address} refuses: {one_line(error)}"
                ) from error
            if not tries_left:
                raise UserError(
                    f"Ray could not start on this machine: {one_line(error)}"
                ) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)


def _private_options(
    spec: "SearchSpec", data: EncodedDataset, weights_bytes: int, scratch: Path
) -> dict[str, Any]:
    """Of `ray.init`, for an instance on this machine alone.

    Trials on a CPU get jemalloc; on a cluster they do not: its nodes may lack the file.
    """
    hardware = detect_hardware()
    shm = Path("/dev/shm")
    shm_free = shutil.disk_usage(shm).free if shm.is_dir() else sys.maxsize
    allocator = {} if spec.gpus_per_trial else allocator_environment(os.environ)
    return {
        "num_cpus": hardware.cpus,
        "num_gpus": hardware.gpus,
        "include_dashboard": False,
        "object_store_memory": object_store_bytes(data, weights_bytes, shm_free),
        "_temp_dir": str(scratch / "ray"),
        "runtime_env": {"env_vars": allocator} if allocator else None,
        # workers started beforehand lack the allocator: they would wait for nothing
        "_system_config": {"prestart_worker_first_driver": not allocator},
    }


def _check_room(spec: "SearchSpec", resources: dict[str, float]) -> None:
    """A trial that fits nowhere would wait for ever. Sums over nodes: necessary, not sufficient."""
    for kind, needed in (("CPU", spec.cpus_per_trial), ("GPU", spec.gpus_per_trial)):
        found = resources.get(kind, 0.0)
        if needed > found:
            raise UsageError(
                f"a trial takes {needed:g} {kind}, the Ray cluster has {found:g}: "
                f"lower --{kind.lower()}s-per-trial"
            )


def _num_bytes(data: EncodedDataset) -> int:
    return sum(
        array.nbytes
        for split in (data.train, data.val, data.test)
        for array in split.arrays.values()
    )


def _temp_root() -> str:
    root = tempfile.gettempdir()
    return root if len(root) <= _LONGEST_TEMP else "/tmp"


@contextlib.contextmanager
def _handlers_restored() -> Iterator[None]:
    """`ray.init` replaces the SIGTERM handler for good."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
