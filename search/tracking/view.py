"""The prepared view of one search's trials: columns, order and charts of MLflow's run list.

MLflow keeps a shared view as an experiment tag, in the JSON of its own front end. That is not
documented, so it is a convenience: without it the plain link still lists the trials, best first.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from search.tracking.links import trials_filter
from trainable.config import BEST_OBJECTIVE
from trainable.objectives import MICRO_F1

TAG_PREFIX: Final = "mlflow.sharedViewState."
_METRICS: Final = (
    BEST_OBJECTIVE,
    "best/micro_f1",
    "best/macro_f1",
    "best/tail_micro_f1",
    "best/epoch",
)
_LOG_RATE: Final = "hp/log10_learning_rate"
_RUNS: Final = 20  # drawn at first
_CURVES: Final = "curves"
_OVERVIEW: Final = "overview"
_BEST: Final = "best-epochs"
_GENERATED: Final = ("best", "val", "train", "time", "hp")


def shared_view(search_id: str, params: Sequence[str], objective: str = "micro_f1") -> str:
    """The view as the value of an experiment tag.

    Args:
        search_id: whose trials it shows.
        params: the sampled settings, in the order of the columns.
        objective: of the search; the score that it equals has no column of its own.
    """
    return json.dumps(
        {
            **_list_state(search_id, params, objective),
            "compareRunSections": [
                _section(_OVERVIEW, "All settings", columns=1),
                _section(_BEST, "Best epochs", columns=2),
                _section(_CURVES, "Learning curves", columns=2),
                # what MLflow adds by itself, folded
                *({**_section(x, x, columns=3), "display": False} for x in _GENERATED),
            ],
            "compareRunCharts": _charts(params),
            "globalLineChartConfig": {
                "xAxisKey": "step",
                "lineSmoothness": 0,
                "selectedXAxisMetricKey": "",
            },
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "isAccordionReordered": True,
        }
    )


def _list_state(search_id: str, params: Sequence[str], objective: str) -> dict[str, Any]:
    metrics = [key for key in _METRICS if key != f"best/{objective}"]
    return {
        "searchFilter": trials_filter(search_id),
        "orderByKey": f"metrics.`{BEST_OBJECTIVE}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            "tags.`hpo.status`",
            *(f"metrics.`{key}`" for key in metrics),
            *(f"params.`{name}`" for name in params),
        ],
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": f"FIRST_{_RUNS}_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }


def _section(name: str, title: str, *, columns: int) -> dict[str, Any]:
    """Charts side by side: eight axes of parallel coordinates need a row to themselves."""
    return {
        "columns": columns,
        "uuid": name,
        "name": title,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _charts(params: Sequence[str]) -> list[dict[str, Any]]:
    numeric = [name for name in params if name != "learning_rate"]
    return [
        {
            **_chart("PARALLEL", "parallel", _OVERVIEW),
            "runsCountToCompare": 100,
            "selectedParams": numeric,
            "selectedMetrics": [_LOG_RATE, BEST_OBJECTIVE],
            "showAllRuns": False,
        },
        {
            **_chart("SCATTER", "scatter", _BEST),
            "runsCountToCompare": 100,
            "xaxis": {"key": _LOG_RATE, "type": "METRIC"},
            "yaxis": {"key": BEST_OBJECTIVE, "type": "METRIC"},
        },
        {**_chart("BAR", "bars", _BEST), "metricKey": BEST_OBJECTIVE},
        *(_line_chart(key) for key in (MICRO_F1, "val/macro_f1", "val/loss", "train/loss")),
    ]


def _line_chart(key: str) -> dict[str, Any]:
    return {
        **_chart("LINE", f"line-{key}", _CURVES),
        "metricKey": key,
        "selectedMetricKeys": [key],
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "selectedYAxisMetricKey": "",
        "selectedXAxisMetricKey": "",
        "range": {},
    }


def _chart(kind: str, name: str, section: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": name,
        "runsCountToCompare": _RUNS,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
    }
