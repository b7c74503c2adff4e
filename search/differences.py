"""What a search would run with now that it did not begin with: shown, and refused or accepted.

Scores compare only if they were measured alike. So other documents, another loss, or another way
to train cannot be accepted at all; other versions, code or settings can be, with --accept-changes:
the scores are still of the same documents, and the results say which attempt ran with what. A
machine of another kind is only told: it changes the last digits.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.provenance import DECIDING_PACKAGES
from spaces import Space
from spaces.dimension import Dimension
from trainable.errors import UsageError

_NONE: Final = "-"
_DIGEST: Final = 12
_MOST_FILES: Final = 8
"""Of code that changed, named one by one."""
_FOR_GOOD: Final = ("loss", "tune", "objective")
"""Settings that no trial can change: weights, hyperparameters and what a score means."""


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was; the values as they are shown."""

    what: str
    then: str
    now: str


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What decides the numbers of a search and is not as it was.

    Args:
        then: As `search.provenance.describe_origin` told of an earlier attempt.
        now: The same of this one. What `then` does not tell of (an older program wrote it) is not
            compared.
    """
    was, found = then.get("numbers", {}), now["numbers"]
    rows = [row for row in _changed(_packages(then), _packages(now)) if row.then != _NONE]
    if "code" in was:
        rows += _code(was["code"], found["code"])
    if "encoder" in was and was["encoder"] != found["encoder"]:
        encoders = (was["encoder"][:_DIGEST], found["encoder"][:_DIGEST])
        rows.append(Difference("files of the encoder", *encoders))
    if "search" in was:
        rows += _changed(_settings(was["search"]), _settings(found["search"]))
    return tuple(rows)


def machine_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What changes rounding: processor, GPU, the precision that `auto` stands for, Python."""
    rows = [
        Difference(name, str(then[name] or _NONE), str(now[name] or _NONE))
        for name in ("python", "cpu", "gpu")
        if name in then and then[name] != now[name]
    ]
    builds = [origin.get("packages", {}).get("torch") for origin in (then, now)]
    if all(builds) and len(set(builds)) == 2 and len({_release(b) for b in builds}) == 1:
        rows.append(Difference("torch", *builds))
    was, found = (origin.get("numbers", {}).get("precision") for origin in (then, now))
    if was and found and was != found:
        rows.append(Difference("precision", was, found))
    return tuple(rows)


def check_acceptable(
    name: str, earlier: Sequence[Mapping[str, Any]], now: Mapping[str, Any]
) -> None:
    """Refuse a change that no study can go on with.

    Args:
        name: Of the search.
        earlier: `search.provenance.origins` of it.
        now: `describe_origin` of this attempt.

    Raises:
        UsageError: another loss or way to train, or a dimension of another kind: Optuna compares
            trials by choices and scales, and refuses to mix them.
    """
    found = now["numbers"]["search"]
    space = Space.from_mapping(found["space"])
    for origin in earlier:
        was = origin.get("numbers", {}).get("search")
        if was is None:
            continue
        for setting in _FOR_GOOD:
            before, after = was["config"].get(setting), found["config"].get(setting)
            if before != after:
                raise UsageError(
                    f"{setting} cannot change within a search, not with --accept-changes either: "
                    f"search '{name}' has {before}, got {after}; restore spec.yaml, or start a "
                    "new search"
                )
        before, after = was["space"]["loss"], found["space"]["loss"]
        if before != after:
            raise UsageError(
                f"the loss of search '{name}' was {before} and is {after}: that cannot change "
                "within a search; restore spec.yaml, or start a new search"
            )
        kinds = {dim.name: _kind(dim) for dim in Space.from_mapping(was["space"]).dimensions}
        for dim in space.dimensions:
            if kinds.get(dim.name, _kind(dim)) != _kind(dim):
                raise UsageError(
                    f"'{dim.name}' is searched as {_kind(dim)} and was as {kinds[dim.name]}: "
                    "only the ends of a range can change within a search, not with "
                    "--accept-changes more; restore spec.yaml, or start a new search"
                )


def check_data(name: str, earlier: Sequence[Mapping[str, Any]], recorded: Any, data: str) -> None:
    """Refuse other documents or labels than those that a search began with.

    Args:
        name: Of the search.
        earlier: `search.provenance.origins` of it.
        recorded: The fingerprint in dataset.json, where `earlier` has none.
        data: The fingerprint now.

    Raises:
        UsageError: they differ.
    """
    known = [origin.get("numbers", {}).get("data") for origin in earlier]
    if any(then not in (None, data) for then in (*known, recorded)):
        raise UsageError(
            f"the data of search '{name}' have changed since it began, and scores on other data do "
            "not compare: restore them, or start a new search"
        )


def _kind(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return f"one of {', '.join(map(str, dimension.choices))}"
    scale = "logarithmic" if dimension.log else "linear"
    return f"a {scale} range of {'whole numbers' if dimension.integer else 'numbers'}"


def _packages(origin: Mapping[str, Any]) -> dict[str, str]:
    """Versions without the mark of a build: torch's says for which processors it was made."""
    known = origin.get("packages", {})
    return {name: _release(known[name]) for name in DECIDING_PACKAGES if name in known}


def _release(version: str) -> str:
    return version.partition("+")[0]


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    rows = [Difference(k, then.get(k, _NONE), now.get(k, _NONE)) for k in {**then, **now}]
    return [row for row in rows if row.then != row.now]


def _code(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    rows = sorted(_changed(then, now), key=lambda row: row.what)
    if len(rows) <= _MOST_FILES:
        return rows
    rest = len(rows) - _MOST_FILES
    return [*rows[:_MOST_FILES], Difference(f"and {rest} more of our files", "", "")]


def _settings(search: Mapping[str, Any]) -> dict[str, str]:
    """The deciding part of a spec, flat, values as text; a trial's settings by their own names."""
    space = {
        f"space: {dim.name}": _range(dim) for dim in Space.from_mapping(search["space"]).dimensions
    }
    rest = {f"search: {k}": str(v) for k, v in search.items() if k not in ("config", "space")}
    return {**rest, **{k: str(v) for k, v in search["config"].items()}, **space}


def _range(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return ", ".join(map(str, dimension.choices))
    return f"{dimension.low} .. {dimension.high}{', log' if dimension.log else ''}"
