"""`--config FILE`: the options of a server in one YAML file, for a unit or a container to name."""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from mlflow_server.store import StoreError


def read_config(path: Path) -> dict[str, Any]:
    """The options in the file by their names in ServerSettings; paths are relative to its folder.

    Raises:
        StoreError: no such file, no YAML, an unknown option, or a value of another kind.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise StoreError(f"--config {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"--config {path} is not YAML: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise StoreError(f"--config {path} must hold lines of `option: value`")
    return {str(name): _checked(path, str(name), value) for name, value in content.items()}


def _checked(path: Path, name: str, value: Any) -> Any:
    if name not in _KINDS:
        near = difflib.get_close_matches(name, _KINDS, n=1, cutoff=0.5)
        meant = f": did you mean '{near[0]}'?" if near else f"; known: {', '.join(_KINDS)}"
        raise StoreError(f"--config {path} has an unknown option '{name}'{meant}")
    kind, convert = _KINDS[name]
    try:
        return convert(value, path.absolute().parent)
    except (TypeError, ValueError):
        raise StoreError(f"--config {path}: {name} must be {kind}, got {value!r}") from None


def _text(value: Any, _: Path) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any, _: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _truth(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _path(value: Any, folder: Path) -> Path:
    return folder / Path(_text(value, folder)).expanduser()


def _texts(value: Any, folder: Path) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_text(one, folder) for one in value]


def _workers(value: Any, folder: Path) -> str:
    return "auto" if value == "auto" else str(_number(value, folder))


_TEXT: Final = ("a text", _text)
_FILE: Final = ("a path", _path)
_KINDS: Final[Mapping[str, tuple[str, Callable[[Any, Path], Any]]]] = MappingProxyType(
    {
        "runs_dir": _FILE,
        "host": _TEXT,
        "port": ("a whole number", _number),
        "database": _TEXT,
        "database_password_file": _FILE,
        "artifacts": _TEXT,
        "s3_endpoint": _TEXT,
        "login": ("true or false", _truth),
        "admin_password_file": _FILE,
        "allowed_hosts": ("a list of host names", _texts),
        "workers": ("a whole number or auto", _workers),
    }
)
