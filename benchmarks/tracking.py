"""Recording trials in MLflow: this tracker against Ray's own callback on the same stores.

The same trials, with the same number of metrics, in a process of its own each. Then a whole search,
recorded while its journal is written, what the driver has to do for that, and the list of the best.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import Processes
from benchmarks.report import Report, Row, options, positive, progress, run, verdict
from benchmarks.tracked_search import METRICS, SLOTS
from benchmarks.tracking_case import TrackingCase
from benchmarks.tracking_stores import postgresql, served

STORES: Final = ("sqlite", "server", "postgresql")
_NAMES: Final = {
    "sqlite": "SQLite file",
    "server": "MLflow server over SQLite",
    "postgresql": "MLflow server over PostgreSQL",
}
_TIMES: Final = 10.0
_MINUTES: Final = 5.0
_SHARE: Final = 0.02
_LISTED_S: Final = 1.0
_SHARE_TRIALS: Final = 200

Figures = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = options("tracking", "Runs and metrics a second into MLflow; what the driver pays.")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES, metavar="STORE")
    parser.add_argument("--compared", type=positive, default=20, metavar="N", help="trials a side")
    parser.add_argument("--trials", type=positive, default=1_000, metavar="N", help="of the search")
    parser.add_argument("--epochs", type=positive, default=30, metavar="N", help="of a trial")
    parser.add_argument("--seconds", type=positive, default=200, metavar="S", help="it takes")
    parser.add_argument("--listed", type=positive, default=5_000, metavar="N", help="trials")
    return run(parser, measure, argv)


def measure(chosen: argparse.Namespace) -> Report:
    """All stores, then the search and the list on the SQLite file and a server of it."""
    figures: Figures = {"epochs": chosen.epochs, "metrics_per_epoch": METRICS, "stores": {}}
    for store in chosen.stores:
        progress(_NAMES[store])
        figures["stores"][store] = _compare(store, chosen.compared, chosen.epochs)
    # PostgreSQL's user has to be able to enter its folder: not below a private one
    with tempfile.TemporaryDirectory(prefix="tracking-", dir="/tmp") as name:
        home = Path(name)
        uri = f"sqlite:///{home / 'mlflow.db'}"
        progress(f"a search of {chosen.trials:,} trials in {chosen.seconds} s")
        figures["search"] = _live(uri, chosen.trials, chosen.epochs, chosen.seconds)
        progress("what the driver pays")
        figures["driver"] = _share(f"sqlite:///{home / 'share.db'}", chosen)
        progress(f"the best of {chosen.listed:,} trials")
        figures["listing"] = _listing(home, chosen.listed)
    return Report(figures=figures, rows=_rows(figures, chosen), notes=_notes(chosen))


def _compare(store: str, trials: int, epochs: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tracking-", dir="/tmp") as name:
        home = Path(name)
        database = f"sqlite:///{home / 'mlflow.db'}"
        if store == "sqlite":
            return _both(database, trials, epochs)
        if store == "server":
            _call("prepare", database)  # as our own server does it: a log of writes
            with served(home, database) as uri:
                return _both(uri, trials, epochs)
        (home / "postgresql").mkdir()
        home.chmod(0o755)
        with postgresql(home / "postgresql") as backend, served(home, backend) as uri:
            return _both(uri, trials, epochs)


def _both(uri: str, trials: int, epochs: int) -> Figures:
    ours = _call("replay", uri, trials, epochs)
    ray = _call("ray_callback", uri, trials, epochs)
    return {"this": ours, "ray": ray, "times": ours["metrics_per_s"] / ray["metrics_per_s"]}


def _live(uri: str, trials: int, epochs: int, seconds: float) -> Figures:
    return dict(_call("live", uri, trials, epochs, seconds, True))


def _share(uri: str, chosen: argparse.Namespace) -> Figures:
    """The driver's CPU time with and without a tracker, as a share of the time that passed."""
    trials = min(_SHARE_TRIALS, chosen.trials)
    seconds = chosen.seconds * trials / chosen.trials
    without = _call("live", uri, trials, chosen.epochs, seconds, False)
    tracked = _live(uri, trials, chosen.epochs, seconds)
    more_s = tracked["driver_cpu_s"] - without["driver_cpu_s"]
    return {"with": tracked, "without": without, "share": more_s / tracked["written_s"]}


def _listing(home: Path, trials: int) -> Figures:
    database = f"sqlite:///{home / 'listed.db'}"
    experiment = f"replayed-{trials}"
    _call("replay", database, trials, 1)
    found = {"before ANALYZE": _call("listing", database, experiment, False)}
    found["file"] = _call("listing", database, experiment, True)
    with served(home, database) as uri:
        found["server"] = _call("listing", uri, experiment, False)
    return found


def _call(method: str, *arguments: Any) -> Any:
    with Processes(TrackingCase, [()]) as case:
        return case.call(method, *arguments)[0]


def _rows(figures: Figures, chosen: argparse.Namespace) -> list[Row]:
    rows = []
    for store, both in figures["stores"].items():
        for who, name in (("this", "this tracker"), ("ray", "Ray's callback")):
            rows.append(Row(what=f"{_NAMES[store]}: {name}", value=_rate(both[who])))
        goal = verdict(f"{_TIMES:.0f} times in metrics a second", met=both["times"] >= _TIMES)
        rows.append(Row(what="  this / Ray's", value=f"{both['times']:.1f}", goal=goal))
    search, driver = figures["search"], figures["driver"]
    whole = search["complete"] and search["seconds"] <= 60 * _MINUTES
    rows += [
        Row(
            what=f"{chosen.trials:,} trials x {chosen.epochs} epochs: written and recorded",
            value=f"{search['written_s']:.0f} s, {search['seconds']:.1f} s",
            goal=verdict(f"in {_MINUTES:.0f} minutes", met=whole),
        ),
        Row(
            what="  CPU: the process that sends, the driver",
            value=f"{search['sender_cpu_s']:.1f} s, {search['driver_cpu_s']:.1f} s",
        ),
        Row(
            what="  the driver's CPU for tracking, of a core",
            value=f"{100 * driver['share']:.2f} %",
            goal=verdict(f"at most {100 * _SHARE:.0f} %", met=driver["share"] <= _SHARE),
        ),
    ]
    for where, seconds in figures["listing"].items():
        slowest = max(seconds.values())
        goal = verdict(f"{_LISTED_S:.0f} s", met=slowest <= _LISTED_S)
        rows.append(
            Row(
                what=f"best of {chosen.listed:,} trials, {where}: 1, 100",
                value=f"{seconds['top_1_s']:.2f} s, {seconds['top_100_s']:.2f} s",
                goal="" if where == "before ANALYZE" else goal,
            )
        )
    return rows


def _rate(found: Mapping[str, float]) -> str:
    return f"{found['metrics_per_s']:,.0f} metrics/s, {found['runs_per_s']:.1f} runs/s"


def _notes(chosen: argparse.Namespace) -> list[str]:
    return [
        f"{chosen.compared} trials a side, {chosen.epochs} epochs of {METRICS} metrics, 7 params; "
        "this tracker with the whole journal before it, Ray's callback result by result, as Tune "
        "calls it; each starts with MLflow imported and the database made; the points of the "
        "search's own run, which Ray's has none of, are sent but not counted",
        f"the search: {SLOTS} trials side by side, its journal written evenly, each line synced to "
        "the disk, as a driver does; on the SQLite file",
        f"the driver's CPU: that of {min(_SHARE_TRIALS, chosen.trials)} trials at that pace with a "
        "tracker, less that without one; the process that sends is not in it, nor on its path",
        "the list: median of three calls of search_runs with the filter and the order of the view",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
