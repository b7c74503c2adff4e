"""A search over several losses, made by hand: six trials of db, cb-ntr and fl."""

from search.hardware import Hardware
from search.request import RunRequest
from search.resolve import resolve
from search.results import SearchRecord, TrialRecord

HERE = Hardware(cpus=2, memory_gib=20.0, gpus=0)


def auto_spec(loss="auto", mu=0.6, **said):
    said = {"dataset": "reuters", "preset": "cpu", "name": "auto", **said}
    return resolve(RunRequest(loss=loss, **said), HERE, mu=mu)


def row(epoch, value):
    return {
        **{"epoch": epoch, "best/objective": value, "best/epoch": epoch, "best/threshold": 0.5},
        **{f"val/{name}": value for name in ("micro_f1", "macro_f1", "objective")},
    }


def trial(number, params, *values, status="completed", resumes=None):
    rows = tuple(row(epoch, value) for epoch, value in enumerate(values, 1))
    return TrialRecord(
        number=number,
        params=params,
        status=status,
        epochs=rows,
        started=0.0,
        ended=1.0,
        resumes=resumes,
    )


def record_of(spec, trials, folder):
    return SearchRecord(
        folder=folder,
        spec=spec,
        trials=tuple(trials),
        status="completed",
        dataset={"fingerprint": "same"},
    )


def auto_record(folder, spec=None):
    """The best trial is cb-ntr's fourth; fl has stopped trials alone."""
    spec = auto_spec("db,cb-ntr,fl", trials=6) if spec is None else spec
    db, cb_ntr, fl = spec.space.paper_points()
    return record_of(
        spec,
        [
            trial(0, db, 0.5, 0.6),
            trial(1, cb_ntr, 0.4, status="interrupted"),
            trial(2, fl, 0.2, status="stopped"),
            trial(3, cb_ntr, 0.4, 0.5, resumes=1),
            trial(4, {**cb_ntr, "gamma": 1.0, "kappa": 0.1}, 0.5, 0.8),
            trial(5, {**fl, "gamma": 3.0}, 0.3, status="stopped"),
        ],
        folder,
    )
