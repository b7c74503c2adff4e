"""Where results come from: versions, code, machine. Written to versions.json once a search."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from search.hardware import Hardware

PACKAGES: Final = (
    *("longtail-search", "torch", "transformers", "tokenizers", "safetensors", "numpy"),
    *("ray", "optuna", "mlflow", "scikit-learn", "iterative-stratification"),
)
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


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(cwd: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
