"""A confirmation while it runs: a line of the live view's header, and one a plain event."""

from collections.abc import Mapping
from typing import Any

from search.confirmation import Confirmation


def confirm_header(found: Confirmation) -> str:
    """How far it has come, and what runs."""
    done = len(found.pairs) - len(found.left)
    running = [run for run in found.runs.values() if not run.status]
    now = ", ".join(f"trial {run.trial} seed {run.seed} epoch {len(run.epochs)}" for run in running)
    return f"confirming: {done}/{len(found.pairs)}{': ' if now else ''}{now}"


def confirm_left_s(found: Confirmation, lanes: int) -> float | None:
    """Seconds until its last run ends; None before one has ended."""
    lasted = [run.ended - run.started for run in found.runs.values() if run.ended is not None]
    if not lasted:
        return None
    return sum(lasted) / len(lasted) * len(found.left) / max(1, min(lanes, len(found.left)))


def confirm_line(found: Confirmation, event: Mapping[str, Any], epochs: int) -> str:
    """One event as a line of text.

    Args:
        found: After the event.
        event: Of a kind `confirm_...`.
        epochs: Of the longest trial.
    """
    if event["event"] == "confirm_planned":
        trials, seeds = (", ".join(map(str, items)) for items in (found.trials, found.seeds))
        return f"confirming trials {trials} with the seeds {seeds}: {len(found.pairs)} runs"
    run = found.runs.get((event["trial"], event["seed"]))
    if run is None:
        return ""
    head = f"trial {run.trial} seed {run.seed}"
    match event["event"]:
        case "confirm_started":
            return f"{head} started"
        case "confirm_restarted":
            return f"{head} starts again: {event['reason']}"
        case "confirm_epoch":
            return f"{head} epoch {event['epoch']}/{epochs}: best {run.objective:.4f}"
    done = len(found.pairs) - len(found.left)
    reason = f" ({run.reason})" if run.reason else ""
    return (
        f"{head} {run.status.replace('_', ' ')}{reason}: best {run.objective:.4f}; "
        f"{done}/{len(found.pairs)} runs confirmed"
    )
