"""First points: what an earlier search found, for one that costs more.

The best trials of a head-mode search, which cost seconds, are tried first by a search that trains
the whole encoder. Between searches that tune the same parameters of the same encoder all shared
dimensions are carried over, else those of the loss alone: a head's learning rate or dropout says
nothing of an encoder's.
"""

from typing import Any, Final

from search.results import SearchRecord
from search.spec import SearchSpec
from trainable.errors import UsageError

MOST_POINTS: Final = 3


def first_points(record: SearchRecord, spec: SearchSpec) -> tuple[dict[str, Any], ...]:
    """The best distinct points of an earlier search, at most `MOST_POINTS`, as points of `spec`.

    A point may leave dimensions open: the sampler draws them. Values outside a range move to its
    nearest end.

    Raises:
        UsageError: the earlier search has scored no trial, or nothing that `spec` searches.
    """
    name = record.spec.name
    scored = [trial for trial in record.trials if trial.best_epoch]
    if not scored:
        raise UsageError(
            f"--start-from {name}: no trial of it has finished an epoch; name another search"
        )
    shared = shared_settings(record.spec, spec)
    if not shared:
        raise UsageError(
            f"--start-from {name}: it searched {', '.join(record.spec.space.names) or 'nothing'}, "
            "of which this search has nothing to take over; name another search"
        )
    dimensions = {dimension.name: dimension for dimension in spec.space.dimensions}
    points: list[dict[str, Any]] = []
    for trial in sorted(scored, key=lambda t: (-(t.best_objective or 0.0), t.number)):
        point = {dim: dimensions[dim].nearest(trial.params[dim]) for dim in shared}
        if point not in points:
            points.append(point)
    return tuple(points[:MOST_POINTS])


def shared_settings(earlier: SearchSpec, spec: SearchSpec) -> list[str]:
    """The settings of which an earlier search can tell something to `spec`."""
    alike = (earlier.config.tune, earlier.config.encoder) == (spec.config.tune, spec.config.encoder)
    shared = [dim for dim in spec.space.dimensions if dim.name in earlier.space.names]
    return [dim.name for dim in shared if alike or dim.role == "scientific"]
