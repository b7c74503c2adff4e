"""A trained model in MLflow's registry: its run, its LoggedModel, its version.

Through `MlflowClient` alone: `mlflow.pyfunc.log_model` would need a run that is active in this
process, and reopen the search's. The model has a run of its own, nested below the search's where
that is found: its test scores are its own, and must not become a second point of the search's.
"""

import contextlib
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.models.facts import ModelFacts
from search.tracking.pyfunc import save_pyfunc
from search.tracking.store import connect, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST_TAG: Final = "hpo.model_digest"
_UPLOAD_TIMEOUT_S: Final = "300"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of a registered model."""

    name: str
    number: str
    new: bool
    """False: this very folder had been registered under this name before."""
    linked: bool
    """Whether the search that chose its configuration was found in the store."""


def register_model(facts: ModelFacts, uri: str, name: str) -> Version:
    """Log a model folder and register it; the same folder only once under a name.

    Args:
        facts: of the folder.
        uri: of the store, `sqlite:///` or http.
        name: of the registered model; made if there is none.

    Raises:
        Exception: whatever MLflow raises; what was begun is marked as failed.
    """
    # weights travel longer than metrics; a variable that the user has set stays
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _UPLOAD_TIMEOUT_S)
    client = connect(uri)
    experiment = experiment_id(client, uri, facts.dataset)
    parent = _search_run(client, experiment, facts)
    linked = facts.search is None or parent is not None
    number = _known_version(client, facts, name)
    if number is not None:
        return Version(name=name, number=number, new=False, linked=linked)
    logged = _logged_before(client, experiment, facts)
    if logged is None:
        logged = _log(client, experiment, facts, parent)
    number = _create_version(client, uri, logged, facts, name)
    return Version(name=name, number=number, new=True, linked=linked)


def _known_version(client: "MlflowClient", facts: ModelFacts, name: str) -> str | None:
    found = client.search_model_versions(
        f"name = '{name}' and tag.`{DIGEST_TAG}` = '{facts.digest}'"
    )
    ready = [version for version in found if version.status == "READY"]
    return str(ready[0].version) if ready else None


def _search_run(client: "MlflowClient", experiment: str, facts: ModelFacts) -> Any:
    """The run of the search; None where there is none, or several of its name."""
    if facts.search is None:
        return None
    found = client.search_runs(
        [experiment],
        f"tags.`hpo.role` = 'search' and attributes.run_name = '{facts.search}'",
        max_results=2,
    )
    return found[0] if len(found) == 1 else None


def _create_run(client: "MlflowClient", experiment: str, facts: ModelFacts, parent: Any) -> str:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    tags = {
        "hpo.role": "model",
        "mlflow.source.name": "python -m search register",
        "mlflow.source.type": "LOCAL",
        **({} if parent is None else {"mlflow.parentRunId": parent.info.run_id}),
        **_origin(facts, parent),
    }
    run = client.create_run(experiment, tags=tags, run_name=f"model-{facts.folder.name}")
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=[Param(k, v) for k, v in _params(facts).items()])
    dataset = Dataset(
        name=facts.dataset, digest=facts.data_digest, source_type="local", source="{}"
    )
    tag = InputTag("mlflow.data.context", "testing")
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])
    return run_id


def _logged_before(client: "MlflowClient", experiment: str, facts: ModelFacts) -> Any:
    """The same folder as it was logged under another name, or before a registration failed."""
    found = client.search_logged_models(
        [experiment], filter_string=f"tags.`{DIGEST_TAG}` = '{facts.digest}'"
    )
    return next((logged for logged in found if str(logged.status) == "READY"), None)


def _log(client: "MlflowClient", experiment: str, facts: ModelFacts, parent: Any) -> Any:
    """The model as a LoggedModel, the output of a run of its own that holds its test scores."""
    from mlflow.entities import LoggedModelOutput

    run_id = _create_run(client, experiment, facts, parent)
    try:
        logged = _upload(client, experiment, run_id, facts)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.log_batch(run_id, metrics=_metrics(facts, run_id, logged.model_id))
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return logged


def _upload(client: "MlflowClient", experiment: str, run_id: str, facts: ModelFacts) -> Any:
    from mlflow.models import Model

    logged = client.create_logged_model(
        experiment,
        name=facts.default_name,
        source_run_id=run_id,
        params=_params(facts),
        tags={DIGEST_TAG: facts.digest},
        model_type="text-classification",
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            about = Model(run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id)
            save_pyfunc(facts, path, about)
            client.log_model_artifacts(logged.model_id, str(path))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY")


def _create_version(
    client: "MlflowClient", uri: str, logged: Any, facts: ModelFacts, name: str
) -> str:
    _make_registered(client, name)
    tags = client.get_run(logged.source_run_id).data.tags
    with _tracking_at(uri):
        version = client.create_model_version(
            name,
            source=f"models:/{logged.model_id}",
            run_id=logged.source_run_id,
            tags={key: tags[key] for key in tags if key.startswith("hpo.")}
            | {DIGEST_TAG: facts.digest},
            description=_description(facts),
            model_id=logged.model_id,
        )
    _link(client, logged.model_id, {"name": name, "version": version.version})
    return str(version.version)


def _link(client: "MlflowClient", model_id: str, version: Mapping[str, Any]) -> None:
    """Let the page of the model lead to its versions, as `mlflow.register_model` does."""
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    known = json.loads(client.get_logged_model(model_id).tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    client.set_logged_model_tags(
        model_id, {MLFLOW_MODEL_VERSIONS: json.dumps([*known, dict(version)])}
    )


@contextlib.contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    """The whole process tracks at `uri`: a SQLite registry looks models up there, not in itself."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _make_registered(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _params(facts: ModelFacts) -> dict[str, str]:
    config = {k: v for k, v in facts.best.config.to_mapping().items() if k != "data_path"}
    threshold = facts.threshold
    told = threshold if isinstance(threshold, float) else "of each label"
    return {name: str(value) for name, value in config.items()} | {"threshold": str(told)}


def _metrics(facts: ModelFacts, run_id: str, model_id: str) -> list[Any]:
    from mlflow.entities import Metric

    now_ms = time.time_ns() // 10**6
    return [
        Metric(
            key=key,
            value=value,
            timestamp=now_ms,
            step=0,
            model_id=model_id,
            dataset_name=facts.dataset,
            dataset_digest=facts.data_digest,
            run_id=run_id,
        )
        for key, value in facts.scores.items()
    ]


def _origin(facts: ModelFacts, parent: Any) -> Mapping[str, str]:
    """Tags that say where the model comes from; `hpo.search_id` would make it one of its trials."""
    told = {"hpo.search": facts.search, "hpo.search_trial": facts.best.search.get("trial")}
    if parent is not None:
        told["hpo.of_search_id"] = parent.data.tags.get("hpo.search_id")
    return {name: str(value) for name, value in told.items() if value is not None}


def _description(facts: ModelFacts) -> str:
    config = facts.best.config
    lines = [f"{config.loss} on {facts.dataset}, {len(facts.label_names)} labels."]
    if "micro_f1" in facts.report:
        micro, macro = (100 * facts.report[name] for name in ("micro_f1", "macro_f1"))
        lines.append(f"Test micro-F1 {micro:.2f}, macro-F1 {macro:.2f} per cent.")
    if facts.search is not None:
        lines.append(f"Configuration chosen by the search {facts.search}.")
    return " ".join(lines)
