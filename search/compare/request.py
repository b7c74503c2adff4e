"""What a user wants compared."""

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any, Final

from search.request import RunRequest, said_settings
from search.spec import check_name
from spaces import parse_losses
from trainable.config import LOSS_HYPERPARAMETERS
from trainable.errors import UsageError

ALL: Final = "all"
_OWN: Final = ("losses", "gather", "name", "out", "runs_dir")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CompareRequest:
    """The options of `python -m search compare`."""

    losses: tuple[str, ...]
    """To search, in the order of the tables; empty: `gather` says what is compared."""
    gather: tuple[str, ...]
    """Names of searches."""
    name: str
    """Of the comparison."""
    run: RunRequest
    """What each search is told, but for its loss and name."""
    out: str | None = None


def compare_request(options: argparse.Namespace) -> CompareRequest:
    """The request that the options make.

    Raises:
        UsageError: neither or both of --losses and --gather, fewer than two of either, or options
            of searches beside --gather.
    """
    names = {field.name for field in dataclasses.fields(RunRequest)}
    said = {name: value for name, value in vars(options).items() if name in names}
    run = RunRequest(**{**said, "name": None, "settings": tuple(options.settings)})
    losses, gather = _losses(options.losses), tuple(options.gather)
    if bool(losses) == bool(gather):
        raise UsageError("give --losses to search, or --gather with the names of searches")
    if len(losses or gather) < 2 or len(set(gather)) < len(gather):
        raise UsageError(
            f"a comparison is of at least two, all different: got {', '.join(losses or gather)}"
        )
    if gather:
        _check_alone(run)
    name = options.name or (f"gathered-{gather[0]}" if gather else _default_name(run))
    check_name(name)
    return CompareRequest(losses=losses, gather=gather, name=name, run=run, out=options.out)


def _losses(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    return tuple(LOSS_HYPERPARAMETERS) if text == ALL else parse_losses(text)


def _check_alone(run: RunRequest) -> None:
    """Options of searches mean nothing to searches that there are."""
    plain = RunRequest(runs_dir=run.runs_dir)
    for field in dataclasses.fields(RunRequest):
        if field.name not in _OWN and getattr(run, field.name) != getattr(plain, field.name):
            option = "set" if field.name == "settings" else field.name.replace("_", "-")
            raise UsageError(f"--{option} is for --losses: a gathered search is what it was")


def _default_name(run: RunRequest) -> str:
    """The same each time, so that the same command goes on: the dataset's, or the file's."""
    said: dict[str, Any] = said_settings(run)
    dataset = str(said.get("dataset", "reuters"))
    if dataset == "file" and said.get("data_path"):
        stem = Path(said["data_path"]).stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:60].lstrip("._-") or dataset
    return dataset
