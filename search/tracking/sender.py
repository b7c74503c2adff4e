"""Messages, told to MLflow through one client. Runs are found by their tags and reused.

What the store is known to hold is not sent again: to replay what is recorded is one query.
A whole trial is three calls: its run with all tags, one batch, its end.
"""

import dataclasses
import getpass
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from search.tracking.links import resolved
from search.tracking.messages import Message, Point, RunKey
from search.tracking.store import connect, experiment_id, upload_timeout
from search.tracking.view import TAG_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_log = logging.getLogger(__name__)

_MAX_VALUE: Final = 6000  # of a param
_NOTE: Final = "mlflow.note.content"
_MAX_TAG: Final = 8000
_PAGE: Final = 1000


@dataclasses.dataclass(kw_only=True, slots=True)
class _Known:
    """What the store holds of one run, as far as we know."""

    run_id: str
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    latest: Mapping[str, Point] = dataclasses.field(default_factory=dict)
    """The point of each metric that MLflow called its latest when the run was found."""
    status: str = "RUNNING"
    ended_ms: int | None = None
    digests: frozenset[str] = frozenset()
    """Of its datasets."""


class Sender:
    """Tells messages to the runs of one search.

    Every method raises what MLflow raises; nothing is lost by that: the same message can be sent
    again, because MLflow keeps one copy of identical points, params, tags and inputs.
    """

    def __init__(
        self, uri: str, *, experiment: str, search_id: str, name: str, view: str = ""
    ) -> None:
        self.uri = uri
        self.search_id = search_id
        self.experiment_id: str | None = None
        self._experiment = experiment
        self._name = name
        self._view = view
        self.has_view = False
        """Whether the experiment holds the prepared view."""
        self.num_new = 0
        """How many runs were made here, and not found."""
        self._client: MlflowClient | None = None
        self._runs: dict[RunKey, _Known] | None = None

    def run_id(self, run: RunKey) -> str | None:
        """The run of a trial (None: of the search) if it is known to exist."""
        known = (self._runs or {}).get(run)
        return None if known is None else known.run_id

    @property
    def num_runs(self) -> int:
        """How many runs of the search the store is known to hold."""
        return len(self._runs or {})

    def open(self) -> None:
        """Connect, and find the runs that an earlier replay made."""
        if self._client is None:
            self._client = connect(self.uri)
        if self.experiment_id is None:
            self.experiment_id = experiment_id(self._client, self.uri, self._experiment)
            self._write_view()
        if self._runs is None:
            self._runs = self._find_runs()

    def _write_view(self) -> None:
        from mlflow.exceptions import MlflowException

        assert self._client is not None, "open() connects"
        try:
            key = TAG_PREFIX + self.search_id
            self._client.set_experiment_tag(self.experiment_id, key, self._view)
            self.has_view = True
        except MlflowException:  # a convenience: the plain link does without
            _log.debug("no prepared view", exc_info=True)

    def send(self, message: Message) -> None:
        """Tell one message but for its artifacts; the run is made if there is none."""
        self.open()
        client, known = self._client, self._run_for(message)
        assert client is not None, "open() connects"
        self._log_batch(known, message)
        dataset = message.dataset
        if dataset is not None and dataset["digest"] not in known.digests:
            _log_dataset(client, known.run_id, dataset)
            known.digests |= {dataset["digest"]}
        told = message.status == known.status and message.ended_ms in (None, known.ended_ms)
        if message.status is None or told:
            return
        if message.status == "RUNNING":
            client.update_run(known.run_id, status="RUNNING")
        else:
            client.set_terminated(known.run_id, message.status, message.ended_ms)
        known.status, known.ended_ms = message.status, message.ended_ms

    def upload(self, message: Message) -> None:
        """Send the artifacts of a message; a file that is gone meanwhile is left out."""
        self.open()
        client, run_id = self._client, self._run_for(message).run_id
        assert client is not None, "open() connects"
        for artifact, text in message.texts.items():
            with upload_timeout(len(text)):
                client.log_text(run_id, text, artifact)
        for path, folder in message.files.items():
            if path.is_file():
                with upload_timeout(path.stat().st_size):
                    client.log_artifact(run_id, str(path), folder or None)

    def _run_for(self, message: Message) -> _Known:
        assert self._runs is not None, "open() finds them"
        if message.key in self._runs:
            return self._runs[message.key]
        runs, self._runs = self._runs, None  # if this fails the run may exist: look again then
        parent = runs.get(None)
        runs[message.key] = self._create_run(message, parent=parent.run_id if parent else None)
        self._runs = runs
        return runs[message.key]

    def _create_run(self, message: Message, *, parent: str | None) -> _Known:
        assert self._client is not None, "open() connects"
        number = message.trial
        tags = {
            **_cut({k: v for k, v in message.tags.items() if k != _NOTE}, _MAX_TAG),
            "hpo.search_id": self.search_id,
            "hpo.role": _role(message),
            "mlflow.user": _user(),
            "mlflow.source.name": "python -m search run",
            "mlflow.source.type": "LOCAL",
        }
        if number is not None:
            assert parent is not None, "the search's message is sent first"
            tags |= {"hpo.trial": str(number), "mlflow.parentRunId": parent}
        if message.seed is not None:
            tags["hpo.seed"] = str(message.seed)
        run = self._client.create_run(
            self.experiment_id,
            start_time=message.started_ms,
            tags=tags,
            run_name=self._name if number is None else _run_name(number, message.seed),
        )
        self.num_new += 1
        return _Known(run_id=str(run.info.run_id), tags=tags)

    def _log_batch(self, known: _Known, message: Message) -> None:
        from mlflow.entities import Metric, Param, RunTag

        assert self._client is not None, "open() connects"
        params = _cut(message.params, _MAX_VALUE)
        fresh = {name: value for name, value in params.items() if name not in known.params}
        # MLflow never changes a param: what a resumed search has changed becomes a tag
        changed = {
            f"hpo.now.{name}": value
            for name, value in params.items()
            if known.params.get(name, value) != value
        }
        note = message.tags.get(_NOTE)
        if note is not None:
            changed[_NOTE] = resolved(note, str(self.experiment_id), known.run_id, self.search_id)
        tags = {
            name: value
            for name, value in _cut({**message.tags, **changed}, _MAX_TAG).items()
            if known.tags.get(name) != value
        }
        points = _unsent(message.points, known.latest)
        if not (points or fresh or tags):
            return
        self._client.log_batch(
            known.run_id,
            metrics=[Metric(p.key, p.value, p.time_ms, p.step) for p in points],
            params=[Param(name, value) for name, value in fresh.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        known.params |= fresh
        known.tags |= tags

    def _find_runs(self) -> dict[RunKey, _Known]:
        """The runs of this search by what they are; of two that are the same the older wins."""
        assert self._client is not None, "open() connects"
        found: dict[RunKey, _Known] = {}
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id],
                f"tags.`hpo.search_id` = '{self.search_id}'",
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                found.setdefault(_key_of(run), _known(run))
            token = page.token
            if not token:
                return found


def _role(message: Message) -> str:
    if message.trial is None:
        return "search"
    return "trial" if message.seed is None else "confirm"


def _run_name(number: int, seed: int | None) -> str:
    return f"trial-{number:03d}" if seed is None else f"confirm-{number:03d}-seed-{seed}"


def _cut(values: Mapping[str, str], length: int) -> dict[str, str]:
    return {name: value[:length] for name, value in values.items()}


def _key_of(run: "Run") -> RunKey:
    number, seed = (run.data.tags.get(f"hpo.{name}") for name in ("trial", "seed"))
    if number is None:
        return None
    return int(number) if seed is None else (int(number), int(seed))


def _known(run: "Run") -> _Known:
    # private, and only to save time: without it everything is sent again, and kept once
    metrics = getattr(run.data, "_metric_objs", [])
    return _Known(
        run_id=str(run.info.run_id),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        latest={m.key: Point(m.key, m.value, m.timestamp, m.step) for m in metrics},
        status=run.info.status,
        ended_ms=run.info.end_time,
        digests=frozenset(
            data.dataset.digest for data in (run.inputs.dataset_inputs if run.inputs else ())
        ),
    )


def _unsent(points: Sequence[Point], latest: Mapping[str, Point]) -> list[Point]:
    """Points travel in the journal's order: what comes before one that arrived has arrived too."""
    arrived = {
        point.key: place for place, point in enumerate(points) if latest.get(point.key) == point
    }
    return [point for place, point in enumerate(points) if place > arrived.get(point.key, -1)]


def _log_dataset(client: "MlflowClient", run_id: str, dataset: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entity: Any = Dataset(
        name=dataset["name"],
        digest=dataset["digest"],
        source_type="local",
        source=dataset["source"],
        profile=dataset["profile"],
    )
    tag = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, datasets=[DatasetInput(entity, [tag])])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id, as in some containers
        return "unknown"
