"""A baseline in MLflow: one run in the experiment of its data's searches, told from its folder.

Found again by its tags, so that a second run of the same baseline writes over the first's numbers.
Its tag `hpo.role` is `baseline`: no view of trials and no search's own query shows it.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.baseline.folder import BASELINE_FILE, REPORT_FILE, TABLE_FILE
from search.files import read_json
from search.tracking.documents import dataset_input, report_message, version_tags
from search.tracking.store import connect, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROLE: Final = "baseline"
_MAX_TAG: Final = 5000


def log_baseline(folder: Path, uri: str) -> str:
    """Tell the store at `uri` of the baseline in `folder`.

    Args:
        folder: of `search.baseline.folder.write_baseline`.
        uri: absolute.

    Returns:
        The id of its run.

    Raises:
        Exception: whatever MLflow raises where the store cannot be used.
    """
    content = read_json(folder / BASELINE_FILE) or {}
    report = read_json(folder / REPORT_FILE) or {}
    dataset = content["dataset"]
    client = connect(uri)
    experiment = experiment_id(client, uri, str(dataset["name"]))
    tags = {
        "hpo.role": ROLE,
        "hpo.baseline": str(content["kind"]),
        "hpo.fingerprint": str(dataset["fingerprint"]),
    }
    run = _find_run(client, experiment, tags)
    if run is None:
        made = client.create_run(
            experiment,
            run_name=folder.name,
            tags={**tags, "mlflow.source.name": "python -m search baseline"},
        )
        run = str(made.info.run_id)
    _log(client, run, content, report)
    for name in (BASELINE_FILE, REPORT_FILE, TABLE_FILE):
        client.log_artifact(run, str(folder / name))
    client.set_terminated(run)
    return run


def _find_run(client: "MlflowClient", experiment: str, tags: dict[str, str]) -> str | None:
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    found = client.search_runs([experiment], query, max_results=1)
    return str(found[0].info.run_id) if found else None


def _log(client: "MlflowClient", run: str, content: dict[str, Any], report: dict[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    now_ms = int(time.time() * 1000)
    message = report_message(report, now_ms)
    metrics = [Metric(p.key, p.value, p.time_ms, p.step) for p in message.points]
    validation = content["validation"]
    for key in ("micro_f1", "macro_f1"):
        metrics.append(Metric(f"val/{key}", float(validation[key]), now_ms, 0))
    metrics.append(Metric("shift", float(content["shift"]), now_ms, 0))
    tags = version_tags(content["versions"])
    client.log_batch(
        run,
        metrics=metrics,
        params=[Param(name, str(value)) for name, value in content["settings"].items()],
        tags=[RunTag(name, value[:_MAX_TAG]) for name, value in tags.items()],
    )
    described = Dataset(source_type="local", **dataset_input(content["dataset"]))
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run, [DatasetInput(described, [context])])
