import warnings

import numpy as np
import optuna
import pytest

from search.samplers import check_sampler_name, make_sampler
from trainable.errors import UsageError

optuna.logging.set_verbosity(optuna.logging.WARNING)


def proposals(name, count=12, seed=3, startup=4):
    """What a serial search would be given, with a sampler made anew for each."""
    study = optuna.create_study(direction="maximize")
    found = []
    for n in range(count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = make_sampler(name, seed=seed + n, startup_trials=startup)
            trial = study.ask()
            x = trial.suggest_float("x", 0.0, 1.0)
            y = trial.suggest_float("y", 0.0, 1.0)
        study.tell(trial, -((x - 0.3) ** 2) - (y - 0.7) ** 2)
        found.append((x, y))
    return found


@pytest.mark.parametrize("name", ["tpe", "random", "gp"])
def test_a_serial_search_repeats_itself(name):
    assert proposals(name) == proposals(name)
    assert proposals(name) != proposals(name, seed=50)


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_models_come_nearer_than_random_draws(name):
    def miss(name, seed):
        late = proposals(name, count=24, seed=seed)[12:]
        return np.mean([np.hypot(x - 0.3, y - 0.7) for x, y in late])

    seeds = range(0, 300, 100)
    assert np.mean([miss(name, s) for s in seeds]) < 0.8 * np.mean(
        [miss("random", s) for s in seeds]
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpee", "unknown sampler 'tpee': did you mean 'tpe'? Allowed: tpe, random, gp, hub:NAME"),
        ("hub:", "unknown sampler 'hub:'"),
    ],
)
def test_an_unknown_sampler(name, message):
    with pytest.raises(UsageError) as caught:
        check_sampler_name(name)
    assert message in str(caught.value)


HUB_SAMPLER = """
import optuna


class Middle(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, param_name, distribution):
        return (distribution.low + distribution.high) / 2


__all__ = ["Middle"]
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """OptunaHub's own cache, as a download leaves it."""
    pytest.importorskip("optunahub")
    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path))
    registry = tmp_path / "github.com" / "optuna" / "optunahub-registry" / "main" / "package"

    def add(name, code):
        folder = registry / "samplers" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(code)

    return add


def test_a_sampler_of_optunahub(hub):
    hub("middle", HUB_SAMPLER)
    assert proposals("hub:samplers/middle", count=2) == [(0.5, 0.5)] * 2


def test_a_package_without_a_sampler(hub):
    hub("nothing", "x = 1\n")
    with pytest.raises(UsageError) as caught:
        make_sampler("hub:samplers/nothing", seed=0, startup_trials=1)
    assert str(caught.value) == (
        "--sampler hub:samplers/nothing must export one sampler, found none: choose another package"
    )


def test_a_package_whose_code_fails(hub):
    hub("broken", "raise RuntimeError('it needs a library')\n")
    with pytest.raises(UsageError) as caught:
        make_sampler("hub:samplers/broken", seed=0, startup_trials=1)
    assert str(caught.value).startswith(
        "--sampler hub:samplers/broken cannot be loaded from OptunaHub (it needs a library): check"
    )


def test_without_the_package_optunahub(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optunahub", None)
    with pytest.raises(UsageError, match="needs the package optunahub: pip install optunahub"):
        make_sampler("hub:samplers/any", seed=0, startup_trials=1)
