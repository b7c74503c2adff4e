"""Messages, told to MLflow through one client. Runs are found by their tags and reused."""

import getpass
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from search.tracking.messages import Message, Point, RunKey
from search.tracking.store import connect, experiment_id
from search.tracking.view import TAG_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_log = logging.getLogger(__name__)

_MAX_VALUE: Final = 6000  # of a param
_MAX_TAG: Final = 8000
_PAGE: Final = 1000


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
        self._client: MlflowClient | None = None
        self._runs: dict[RunKey, str] | None = None
        self._params: dict[RunKey, dict[str, str]] = {}
        self._latest: dict[RunKey, dict[str, tuple[int, int]]] = {}

    def run_id(self, run: RunKey) -> str | None:
        """The run of a trial (None: of the search) if it is known to exist."""
        return None if self._runs is None else self._runs.get(run)

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
        """Tell one message; the run is made if there is none."""
        self.open()
        client, run_id = self._client, self._run_for(message)
        assert client is not None, "open() connects"
        self._log_batch(run_id, message)
        if message.dataset is not None:
            _log_dataset(client, run_id, message.dataset)
        for artifact, text in message.texts.items():
            client.log_text(run_id, text, artifact)
        for path, folder in message.files.items():
            client.log_artifact(run_id, str(path), folder or None)
        if message.status == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        elif message.status is not None:
            client.set_terminated(run_id, message.status, message.ended_ms)

    def _run_for(self, message: Message) -> str:
        assert self._runs is not None, "open() finds them"
        if message.key in self._runs:
            return self._runs[message.key]
        runs, self._runs = self._runs, None  # if this fails the run may exist: look again then
        runs[message.key] = self._create_run(message, parent=runs.get(None))
        self._runs = runs
        return runs[message.key]

    def _create_run(self, message: Message, *, parent: str | None) -> str:
        assert self._client is not None, "open() connects"
        number = message.trial
        tags = {
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
        return str(run.info.run_id)

    def _log_batch(self, run_id: str, message: Message) -> None:
        from mlflow.entities import Metric, Param, RunTag

        assert self._client is not None, "open() connects"
        params = {name: value[:_MAX_VALUE] for name, value in message.params.items()}
        known = self._params.setdefault(message.key, {})
        fresh = {name: value for name, value in params.items() if name not in known}
        # MLflow never changes a param: what a resumed search has changed becomes a tag
        changed = {
            f"hpo.now.{name}": value
            for name, value in params.items()
            if known.get(name, value) != value
        }
        tags = {**message.tags, **changed}
        latest = self._latest.get(message.key, {})
        points = [point for point in message.points if not _is_stored(point, latest)]
        if not (points or fresh or tags):
            return
        self._client.log_batch(
            run_id,
            metrics=[Metric(p.key, p.value, p.time_ms, p.step) for p in points],
            params=[Param(name, value) for name, value in fresh.items()],
            tags=[RunTag(name, value[:_MAX_TAG]) for name, value in tags.items()],
        )
        known.update(fresh)

    def _find_runs(self) -> dict[RunKey, str]:
        """The runs of this search by what they are; of two that are the same the older wins."""
        assert self._client is not None, "open() connects"
        found: dict[RunKey, str] = {}
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
                key = _key_of(run)
                if key not in found:
                    found[key] = run.info.run_id
                    self._params[key] = dict(run.data.params)
                    self._latest[key] = _latest_points(run)
            token = page.token
            if not token:
                return found


def _role(message: Message) -> str:
    if message.trial is None:
        return "search"
    return "trial" if message.seed is None else "confirm"


def _run_name(number: int, seed: int | None) -> str:
    return f"trial-{number:03d}" if seed is None else f"confirm-{number:03d}-seed-{seed}"


def _key_of(run: "Run") -> RunKey:
    number, seed = (run.data.tags.get(f"hpo.{name}") for name in ("trial", "seed"))
    if number is None:
        return None
    return int(number) if seed is None else (int(number), int(seed))


def _latest_points(run: "Run") -> dict[str, tuple[int, int]]:
    """Step and time of the latest point of each metric, from the run as MLflow returned it."""
    # private, and only to save time: without it everything is sent again, and kept once
    metrics = getattr(run.data, "_metric_objs", [])
    return {metric.key: (metric.step, metric.timestamp) for metric in metrics}


def _is_stored(point: Point, latest: Mapping[str, tuple[int, int]]) -> bool:
    """Points travel in the journal's order, so what is not after the latest one has arrived."""
    step, time_ms = latest.get(point.key, (-1, -1))
    return point.time_ms <= time_ms and point.step <= step


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
