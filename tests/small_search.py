"""A search of dummy trials over tiny data, in this process or (run as a script) in its own.

python tests/small_search.py RUNS_DIR NAME           prints the events
python tests/small_search.py RUNS_DIR NAME command   as `python -m search resume NAME`
"""

import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def small_spec(runs_dir, **changes):
    from search.spec import SearchSpec
    from spaces import space_for
    from trainable.config import TrialConfig

    values = {
        "name": "small",
        "runs_dir": str(runs_dir),
        "preset": "smoke",
        "config": TrialConfig(loss="db", epochs=changes.pop("epochs", 6), mu=0.5),
        "space": space_for("db", mu=0.5),
        "trials": 6,
        "grace_period": 1,
        "reduction_factor": 2,
        "cpus_per_trial": 1,
        "max_concurrent": 2,
    }
    return SearchSpec(**{**values, **changes})


def make_folder(spec, plan):
    from search.strangers import save_own

    spec.folder.mkdir(parents=True, exist_ok=True)
    (spec.folder / "plan.json").write_text(json.dumps(plan))
    save_own(spec)


def run_dummies(spec, **options):
    """`run_trials` with dummy trials, which travel to the workers by value: `tests` is also the
    name of a package that another distribution installs."""
    from search.cluster import prepare_environment
    from search.tuner import run_trials

    prepare_environment(private=spec.address is None)
    import ray.cloudpickle

    dummies = _load("dummy_trial")
    ray.cloudpickle.register_pickle_by_value(dummies)
    run_trials(
        spec,
        _load("tiny").tiny_encoded(),
        trainable=dummies.DummyTrial,
        evaluate=dummies.dummy_report,
        **options,
    )


def _load(name):
    if name not in sys.modules:
        file = ROOT / "tests" / f"{name}.py"
        module_spec = importlib.util.spec_from_file_location(name, file)
        sys.modules[name] = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def resume_command(runs_dir, name):
    """The exit code of the real command, whose trials are dummies; its spec names an encoder."""
    from search import cli, run

    description = {"fingerprint": "none"}
    data = run.Data(encoded=_load("tiny").tiny_encoded(), description=description, mu=0.5)
    run.read_data = lambda *_: data
    run.run_trials = lambda spec, _data, **options: run_dummies(spec, **options)
    return cli.main(["resume", name, "--runs-dir", runs_dir])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[3:] == ["command"]:
        sys.exit(resume_command(*sys.argv[1:3]))
    from search.lock import hold
    from search.spec import SearchSpec

    folder = Path(sys.argv[1]) / sys.argv[2]
    with hold(folder):
        run_dummies(
            SearchSpec.load(folder / "spec.yaml"),
            listeners=[lambda event: print(json.dumps(event), flush=True)],  # noqa: T201
        )
