"""First points: what an earlier search found, for one that costs more.

The best trials of a head-mode search, which cost seconds, are tried first by a search that trains
the whole encoder. Between searches that tune the same parameters of the same encoder all shared
dimensions are carried over, else those of the loss alone: a head's learning rate or dropout says
nothing of an encoder's. Where the loss is searched, now or then, trials of the losses of this
search go first, and bring their loss along.
"""

from collections.abc import Mapping
from typing import Any, Final

from search.results import SearchRecord
from search.spec import SearchSpec
from spaces import LOSS
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
    losses = spec.space.losses
    ours = [trial for trial in scored if with_loss(trial.params, record.spec)[LOSS] in losses]
    points: list[dict[str, Any]] = []
    for trial in sorted(ours or scored, key=lambda t: (-(t.best_objective or 0.0), t.number)):
        told = with_loss(trial.params, record.spec)
        if not ours:  # of a loss that is not searched: what it says of the others
            del told[LOSS]
        point = {dim: dimensions[dim].nearest(told[dim]) for dim in shared if dim in told}
        if point and point not in points:
            points.append(point)
    return tuple(points[:MOST_POINTS])


def with_loss(params: Mapping[str, Any], spec: SearchSpec) -> dict[str, Any]:
    """What a trial of `spec` has sampled, and its loss, also where that was not sampled."""
    return {LOSS: spec.space.losses[0], **params}


def shared_settings(earlier: SearchSpec, spec: SearchSpec) -> list[str]:
    """The settings of which an earlier search can tell something to `spec`."""
    alike = (earlier.config.tune, earlier.config.encoder) == (spec.config.tune, spec.config.encoder)
    known = (LOSS, *earlier.space.names)
    shared = [dim for dim in spec.space.dimensions if dim.name in known]
    return [dim.name for dim in shared if alike or dim.role == "scientific"]
