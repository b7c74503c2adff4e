"""One step of catching up: what the folder says and the store has not heard yet."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from search.journal import JOURNAL_FILE
from search.tracking.check import default_tracking_uri
from search.tracking.confirm_messages import ConfirmTranslator
from search.tracking.documents import FolderFiles, sampled
from search.tracking.messages import Message, RunKey, merge
from search.tracking.sender import Sender
from search.tracking.view import shared_view

_REFUSALS: Final = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED", "INVALID_STATE"}
)
"""MLflow's answers that concern one run; anything else concerns the store."""
_MAX_REFUSALS: Final = 3
"""In one step: it may be the store after all, and there may be thousands of runs."""

OnSent = Callable[[int, int], None]
"""Called with the runs that were told, and all that there is something to tell."""


class Replay:
    """Replays one search folder into one store; `advance` may be called for ever, and may fail.

    Attributes:
        sender: None until the journal has its first event.
    """

    def __init__(self, folder: Path, tracking_uri: str | None = None) -> None:
        self.folder = folder
        self.uri = tracking_uri or default_tracking_uri(folder.parent)
        self.sender: Sender | None = None
        self._start_over()

    def advance(self, *, final: bool = False, on_sent: OnSent | None = None) -> None:
        """Read what is new and send it.

        Args:
            final: nobody will write to the folder any more: what still runs was interrupted.
            on_sent: for progress.

        Raises:
            Exception: whatever MLflow raises; what was not sent is kept for the next call.
        """
        self._read(final=final)
        if self.sender is None:
            return
        self.sender.open()
        try:
            self._send(on_sent)
        except Exception as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                self._start_over()  # the database was replaced: tell it everything
            raise

    def _start_over(self) -> None:
        self.sender = None
        self._offset = 0
        self._translator = ConfirmTranslator()
        self._files = FolderFiles(self.folder)
        self._pending: dict[RunKey, Message] = {}
        self._uploads: dict[RunKey, Message] = {}

    def _read(self, *, final: bool) -> None:
        events = self._new_events()
        if self.sender is None:
            if not events:
                return
            self._begin(events[0])
        messages = [message for event in events for message in self._translator.translate(event)]
        if final:
            messages += self._translator.abandoned()
        changes = self._files.changes(self._translator)
        if any(m.trial is None or m.status for m in [*messages, *changes]):
            changes.append(self._files.description(self._translator))
        self._keep([*messages, *changes])

    def _keep(self, messages: Iterable[Message]) -> None:
        """Artifacts apart: they are sent last, and their trouble holds nothing up."""
        told = merge([*self._pending.values(), *messages])
        uploads = [_artifacts(message) for message in told.values() if _has_artifacts(message)]
        self._uploads = merge([*self._uploads.values(), *uploads])
        self._pending = {
            run: dataclasses.replace(message, texts={}, files={}) for run, message in told.items()
        }

    def _begin(self, first: dict[str, Any]) -> None:
        spec = self._files.spec()
        self._translator = ConfirmTranslator({"loss": str(spec["config"]["loss"])})
        identity = search_id(self.folder.name, first)
        objective = str(spec["config"].get("objective", "micro_f1"))
        self.sender = Sender(
            self.uri,
            experiment=self._files.experiment(),
            search_id=identity,
            name=self.folder.name,
            view=shared_view(identity, list(sampled(spec)), objective),
        )

    def _new_events(self) -> list[dict[str, Any]]:
        path = self.folder / JOURNAL_FILE
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # the last line may be half written
        events = [json.loads(line) for line in whole.splitlines() if line.strip()]
        self._offset += len(whole)
        return events

    def _send(self, on_sent: OnSent | None) -> None:
        assert self.sender is not None, "made by _begin"
        refusals: list[Exception] = []
        runs = list(self._pending)
        for done, run in enumerate(runs, 1):
            message = self._pending.pop(run)
            try:
                self.sender.send(message)
            except Exception as error:
                self._pending[run] = message  # behind the others, which it must not hold up
                concerns_run = getattr(error, "error_code", "") in _REFUSALS
                if not concerns_run or self.sender.run_id(None) is None:
                    raise
                refusals.append(error)
                if len(refusals) == _MAX_REFUSALS:
                    break
            if on_sent is not None:
                on_sent(done, len(runs))
        for run in list(self._uploads):
            self.sender.upload(self._uploads[run])
            del self._uploads[run]
        if refusals:
            raise refusals[0]


def _has_artifacts(message: Message) -> bool:
    return bool(message.texts or message.files)


def _artifacts(message: Message) -> Message:
    return Message(trial=message.trial, seed=message.seed, texts=message.texts, files=message.files)


def search_id(name: str, first_event: dict[str, Any]) -> str:
    """Who a search is, in every store: its name and its first moment, which the journal keeps."""
    digest = hashlib.sha256(json.dumps(first_event, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:10]}"
