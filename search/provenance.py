"""Where results come from: versions, code, data, settings, machine. Kept in versions.json.

The file's own keys are those of the first attempt and never change; `later` lists what an attempt
ran with that was resumed with --accept-changes. `numbers` is what else decides the numbers:

    code       a digest of each module in `DECIDING_MODULES` and of all of trainable and spaces
    data       fingerprint of the documents and labels, as in dataset.json
    encoder    digest of its weights, configuration and tokenizer
    search     the spec without what only says where and how fast (`SearchSpec.deciding`)
    precision  that a trial computes in; null on a cluster, whose machines nobody asked

Code is compared by the text of its files, not by the commit: git may not be there, and a commit
says nothing of what was changed since. A reworded comment counts as a change, too: which change of
text is none would itself be decided by code that changes.
"""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import search
import spaces
import trainable
from search.files import read_json, write_json
from search.hardware import Hardware
from search.results import VERSIONS_NAME
from search.spec import SearchSpec
from trainable.encoders import content_digest, resolve_encoder

PACKAGES: Final = (
    *("longtail-search", "torch", "transformers", "tokenizers", "safetensors", "numpy"),
    *("ray", "optuna", "mlflow", "scikit-learn", "iterative-stratification"),
)
DECIDING_PACKAGES: Final = (
    *("longtail-search", "torch", "transformers", "tokenizers", "numpy", "ray", "optuna"),
    "scikit-learn",
)
"""Of `PACKAGES`, those whose version changes what is proposed, trained or stopped."""
DECIDING_MODULES: Final = (
    *("outcome", "samplers", "searcher", "study", "study_storage", "tpe", "tuner", "winner"),
    *("asha", "confirm", "confirm_tune", "confirmation", "fitting", "grace", "live_trials"),
    "warm_start",
)
"""Of `search`: what proposes, stops and judges. The rest of it checks, records and shows."""

_DIGEST: Final = 12
_GIT_TIMEOUT_S: Final = 5.0


def package_versions() -> dict[str, str]:
    """Of what the numbers depend on, as far as it is installed."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def describe_versions(hardware: Hardware, cwd: Path) -> dict[str, Any]:
    """Package versions, the git commit of `cwd` (None outside a repository) and the machine."""
    commit = _git(cwd, "rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "packages": package_versions(),
        "git_commit": commit,
        "git_changed": bool(_git(cwd, "status", "--porcelain")) if commit else None,
        "platform": platform.platform(),
        "cpu": hardware.cpu_name,
        "cpus": hardware.cpus,
        "memory_gib": round(hardware.memory_gib, 1),
        "gpu": hardware.gpu_name or None,
        "gpus": hardware.gpus,
        "executable": sys.executable,
    }


def describe_origin(
    spec: SearchSpec, hardware: Hardware, cwd: Path, *, data: str | None
) -> dict[str, Any]:
    """`describe_versions`, with all that decides the numbers of `spec` under `numbers`.

    Args:
        spec: Of the search.
        hardware: Of this machine.
        cwd: Whose git commit is named.
        data: Fingerprint of the dataset.
    """
    numbers = {
        "code": code_digests(),
        "data": data,
        "encoder": content_digest(resolve_encoder(spec.config.encoder)),
        # as it comes back from the file, to be compared with it
        "search": json.loads(json.dumps(spec.deciding)),
        "precision": _precision(spec),
    }
    return {**describe_versions(hardware, cwd), "numbers": numbers}


def code_digests() -> dict[str, str]:
    """A digest of each file of ours that decides numbers, by its path within the house."""
    files = {
        f"{package.__name__}/{path.relative_to(folder).as_posix()}": path
        for package in (trainable, spaces)
        for folder in [Path(str(package.__file__)).parent]
        for path in sorted(folder.rglob("*.py"))
    }
    ours = Path(str(search.__file__)).parent
    files |= {f"search/{name}.py": ours / f"{name}.py" for name in DECIDING_MODULES}
    return {name: _digest(path) for name, path in files.items()}


def origins(folder: Path) -> list[dict[str, Any]]:
    """What the search in `folder` ran with, in order: the first attempt's, then accepted changes.

    Each has `attempt`. Empty where nothing was written.

    Raises:
        UsageError: versions.json was edited into nonsense.
    """
    first = read_json(folder / VERSIONS_NAME)
    if first is None:
        return []
    return [{"attempt": 1, **first}, *first.get("later", [])]


def add_origin(folder: Path, origin: dict[str, Any], *, attempt: int) -> None:
    """Note that from `attempt` on the search runs with `origin`; what came before stays."""
    first = read_json(folder / VERSIONS_NAME) or {}
    later = [*first.get("later", []), {"attempt": attempt, **origin}]
    write_json(folder / VERSIONS_NAME, {**first, "later": later})


def _digest(path: Path) -> str:
    text = path.read_bytes().replace(b"\r\n", b"\n")  # git may have translated them
    return hashlib.sha256(text).hexdigest()[:_DIGEST]


def _precision(spec: SearchSpec) -> str | None:
    if spec.address is not None:
        return None
    if spec.config.precision != "auto":
        return spec.config.precision
    import torch  # not before a search is sure to need it

    from trainable.device import resolve_precision

    device = torch.device("cuda" if spec.gpus_per_trial else "cpu")
    return resolve_precision(spec.config.precision, device)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(cwd: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
