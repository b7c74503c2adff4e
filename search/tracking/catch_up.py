"""What a search could not send while it ran, sent afterwards by whoever asks for it."""

import dataclasses
from pathlib import Path
from typing import Final

from search.credentials import without_credentials
from search.lock import is_live
from search.tracking.lock import SendingLock
from search.tracking.reasons import plain
from search.tracking.replay import OnSent, Replay
from search.tracking.store import refresh_statistics
from trainable.errors import UsageError, UserError

_LOCK_TIMEOUT_S: Final = 15.0
"""The process of a driver that was killed is gone by then."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """A search that is recorded whole."""

    name: str
    store: str
    """Its address, without credentials."""
    search_id: str
    """Its tag `hpo.search_id`; "": it has no events yet, and no runs."""
    runs: int
    """How many it has in the store ..."""
    new: int
    """... and how many of them it had not before."""


def sync(folder: Path, *, tracking_uri: str | None = None, on_sent: OnSent | None = None) -> Synced:
    """Replay a search folder as it is; what ran when its driver was gone was interrupted.

    Args:
        folder: of the search.
        tracking_uri: of the store; None: the default one in the runs folder.
        on_sent: for progress.

    Raises:
        UsageError: the search is running, and sends what it has by itself.
        UserError: the store does not take it; the next call sends what is missing.
    """
    folder = folder.absolute()
    replay = Replay(folder, tracking_uri)
    lock = SendingLock(folder)
    try:
        if not lock.acquire(0.0 if is_live(folder) else _LOCK_TIMEOUT_S):
            raise UsageError(
                f"search '{folder.name}' is being recorded by another process, which sends what is "
                "missing: wait for its end"
            )
        return _replayed(replay, on_sent)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from None
    finally:
        lock.release()


def _replayed(replay: Replay, on_sent: OnSent | None) -> Synced:
    store = without_credentials(replay.uri) or ""
    try:
        replay.advance(final=not is_live(replay.folder), on_sent=on_sent)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow: {store} does not record '{replay.folder.name}': {plain(error, replay.uri)}; "
            "what is missing is sent by the same command later"
        ) from error
    refresh_statistics(replay.uri)
    sender = replay.sender
    return Synced(
        name=replay.folder.name,
        store=store,
        search_id="" if sender is None else sender.search_id,
        runs=0 if sender is None else sender.num_runs,
        new=0 if sender is None else sender.num_new,
    )
