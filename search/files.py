"""Small files of a search folder: written whole or not at all, read with one-line errors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainable.errors import UsageError
from trainable.paths import write_text
from trainable.plain_yaml import parse_yaml


def write_yaml(path: Path, kind: str, version: int, values: Mapping[str, Any]) -> None:
    """Write `values` as YAML with `format: kind` and `version` on top."""
    head = {"format": kind, "version": version}
    write_text(path, yaml.safe_dump({**head, **values}, sort_keys=False))


def read_yaml(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read what `write_yaml` wrote, without the two keys on top.

    Raises:
        UsageError: missing, unreadable, not YAML, of another format or version.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({_reason(error)})") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise UsageError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(values, dict) or values.get("format") != kind:
        raise UsageError(f"{path}: must begin with 'format: {kind}'")
    if values.get("version") != version:
        raise UsageError(
            f"{path}: has version {values.get('version')!r} of {kind}, this program reads "
            f"version {version}: use the program that wrote it"
        )
    return {key: value for key, value in values.items() if key not in {"format", "version"}}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as indented JSON."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is no such file.

    Raises:
        UsageError: it is not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({_reason(error)})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold a JSON object")
    return values


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
