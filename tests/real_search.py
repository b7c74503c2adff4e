"""A search that trains a tiny BERT, in this process or (run as a script) in its own.

python tests/real_search.py RUNS_DIR NAME
"""

import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def real_spec(runs_dir, **changes):
    """One trial at a time, never stopped by ASHA, whose epochs take some 50 ms."""
    from spaces import change_space, space_for
    from trainable.config import TrialConfig

    encoder = Path(runs_dir) / "encoder"
    if not encoder.exists():
        _load("tiny").tiny_encoder(encoder)
    epochs = changes.pop("epochs", 6)
    config = TrialConfig(
        dataset="tiny",
        encoder=str(encoder),
        loss="bce",
        max_length=32,
        batch_size=8,
        epochs=epochs,
        num_threads=1,
    )
    narrow = {"learning_rate": {"low": 2e-3, "high": 4e-3, "log": True}}
    space = change_space(space_for("bce", mu=None), narrow)
    values = {
        "config": config.replace(**space.paper_point()),
        "space": space,
        "trials": 2,
        "grace_period": epochs,
        "max_concurrent": 1,
    }
    return _load("small_search").small_spec(runs_dir, **{**values, **changes})


def run_real(spec, **options):
    from search.tuner import run_trials

    run_trials(spec, _load("tiny").tiny_encoded(), **options)


def _load(name):
    """A neighbour by its file: `tests` is also a package that another distribution installs."""
    file = Path(__file__).with_name(f"{name}.py")
    module_spec = importlib.util.spec_from_file_location(f"real_search_{name}", file)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from search.spec import SearchSpec

    folder = Path(sys.argv[1]) / sys.argv[2]
    run_real(
        SearchSpec.load(folder / "spec.yaml"),
        listeners=[lambda event: print(json.dumps(event), flush=True)],  # noqa: T201
    )
