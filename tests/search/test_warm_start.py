import dataclasses
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from search.outcome import Outcome
from search.results import TrialRecord
from search.study import SearchStudy
from search.warm_start import (
    EarlierTrial,
    as_optuna,
    earlier_trials,
    read_warm_start,
    write_warm_start,
)
from spaces import space_for
from tests.small_search import small_spec
from trainable.config import TrialConfig
from trainable.errors import UsageError

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = space_for("db", mu=0.5)


def row(epoch, value):
    return {"epoch": epoch, "best/objective": value, "best/epoch": 1}


def record(spec, trials, fingerprint="same"):
    return SimpleNamespace(
        spec=spec, trials=trials, dataset={"fingerprint": fingerprint}, paper=trials[0]
    )


def trial(number, status="completed", values=(0.4, 0.6), **params):
    rows = tuple(row(epoch, value) for epoch, value in enumerate(values, 1))
    return TrialRecord(
        number=number, params=params, status=status, epochs=rows, started=0.0, ended=1.0
    )


@pytest.fixture
def spec(tmp_path):
    return small_spec(tmp_path)


def of_loss(spec, loss, **changes):
    space = space_for(loss, mu=0.5)
    config = TrialConfig(loss=loss, epochs=6, **changes)
    return spec.replace(name="earlier", config=config, space=space)


def test_what_another_loss_can_tell(spec):
    fl = of_loss(spec, "fl")
    found = earlier_trials(
        record(
            fl,
            (
                trial(0, learning_rate=1e-4, gamma=2.0),
                trial(1, "stopped", (0.3,), learning_rate=3e-5, gamma=1.0),
                trial(2, "failed", learning_rate=3e-5, gamma=1.0),
                trial(3, "diverged", learning_rate=3e-5, gamma=1.0),
                trial(4, learning_rate=3e-5, gamma=7.0),  # outside: not moved to the end
                trial(5, "completed", (), learning_rate=3e-5, gamma=1.0),
            ),
        ),
        spec,
        "same",
    )
    assert [t.params for t in found] == [
        {"learning_rate": 1e-4, "gamma": 2.0},
        {"learning_rate": 3e-5, "gamma": 1.0},
    ]
    assert [t.completed for t in found] == [True, False]
    assert found[1].curve == {1: 0.3}
    assert found[1].paper_curve == {1: 0.4, 2: 0.6}


def test_of_a_head_only_the_loss_counts(spec):
    head = of_loss(spec, "db", tune="head", mu=0.5)
    told = trial(0, **space_for("db", mu=0.5).paper_point())
    [found] = earlier_trials(record(head, (told,)), spec, "same")
    assert "learning_rate" not in found.params
    assert found.params["kappa"] == 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data", "--warm-start earlier: it is of other data, whose scores do not compare"),
        ("objective", "--warm-start earlier: it judges by macro_f1 and this search by micro_f1"),
        ("nothing", "--warm-start earlier: it has no finished trial with settings that this"),
    ],
)
def test_what_cannot_be_used(spec, change, message):
    earlier = of_loss(spec, "fl", objective="macro_f1" if change == "objective" else "micro_f1")
    status = "failed" if change == "nothing" else "completed"
    told = trial(0, status, learning_rate=1e-4, gamma=2.0)
    with pytest.raises(UsageError) as caught:
        earlier_trials(record(earlier, (told,)), spec, "other" if change == "data" else "same")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "random"}, "leave out --sampler random, or use --start-from"),
        ({"pareto": True}, "leave out the second score, or use --start-from"),
    ],
)
def test_only_tpe_with_one_objective_learns_from_others(spec, change, message):
    config = spec.config.replace(objective="micro_f1+macro_f1")
    with pytest.raises(UsageError, match=message):
        spec.replace(config=config, warm_start=("a",), **change)


def test_the_folder_keeps_a_copy(tmp_path):
    told = (
        EarlierTrial(params={"gamma": 1.0}, completed=True, curve={1: 0.5}, paper_curve={2: 0.25}),
    )
    assert read_warm_start(tmp_path) == ()
    write_warm_start(tmp_path, told)
    assert read_warm_start(tmp_path) == told
    (tmp_path / "warm_start.json").write_text('{"trials": [{"params": {}}]}')
    with pytest.raises(UsageError, match="is damaged: restore it, or start a new search"):
        read_warm_start(tmp_path)


def test_scores_are_shifted_by_what_lies_between_the_papers_values():
    told = EarlierTrial(
        params={"gamma": 1.0}, completed=True, curve={1: 0.5, 2: 0.7}, paper_curve={1: 0.4, 2: 0.5}
    )
    stopped = dataclasses.replace(told, completed=False, curve={1: 0.5})
    both = as_optuna([told, stopped], SPACE, {"db": {1: 0.6, 2: 0.75, 3: 0.8}})
    assert [t.state for t in both] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert [t.number for t in both] == [-2, -1]
    assert both[0].value == pytest.approx(0.95)  # 0.7 + (0.75 - 0.5)
    assert both[1].intermediate_values == pytest.approx({1: 0.75})
    unshifted = as_optuna([told], SPACE, {})
    assert unshifted[0].value == 0.7


def score(params):
    """Highest at gamma 0.8 and a learning rate of 3e-4."""
    far = abs(params["gamma"] - 0.8) / 4 + abs(np.log10(params["learning_rate"] / 3e-4)) / 2
    return float(0.9 - 0.5 * far)


def proposals(folder, count, earlier=()):
    folder.mkdir()
    study = SearchStudy(folder, name="s", space=SPACE, seed=5, startup_trials=4, earlier=earlier)
    study.open(SPACE.paper_point())
    found = []
    for number in range(count):
        params = study.ask(f"t{number}").params
        value = score(params) - 0.2  # this loss scores lower than the earlier one
        study.report(f"t{number}", 1, value)
        study.finish(f"t{number}", Outcome("completed", ""), [value])
        found.append(params)
    study.close()
    return found


def test_it_proposes_better_points_earlier(tmp_path):
    rng = np.random.default_rng(0)
    other = space_for("fl", mu=None)
    paper = {1: score(other.paper_point())}
    drawn = [
        {"learning_rate": 10 ** rng.uniform(-5, -3), "gamma": rng.uniform(0, 4)} for _ in range(40)
    ]
    told = [
        EarlierTrial(params=p, completed=True, curve={1: score(p)}, paper_curve=paper)
        for p in drawn
    ]
    cold = [score(p) for p in proposals(tmp_path / "cold", 9)[1:]]
    warm = [score(p) for p in proposals(tmp_path / "warm", 9, told)[1:]]
    assert np.mean(warm) > np.mean(cold) + 0.05
    # the earlier trials are none of this search's
    again = SearchStudy(tmp_path / "warm", name="s", space=SPACE, seed=5, earlier=told)
    again.open(SPACE.paper_point())
    assert [t.number for t in again.trials] == list(range(9))
    again.close()


def test_the_scale_is_that_of_trial_0_or_of_its_rerun(tmp_path):
    told = EarlierTrial(params={"gamma": 1.0}, completed=True, curve={1: 0.5}, paper_curve={1: 0.4})

    def opened():
        study = SearchStudy(tmp_path, name="s", space=SPACE, seed=5, earlier=[told])
        study.open(SPACE.paper_point())
        return study

    study = opened()
    assert study._earlier_trials()[0].value == 0.5  # trial 0 has not begun
    study.ask("a")
    study.report("a", 1, 0.1)
    assert study._earlier_trials()[0].value == 0.5  # nor ended
    study.close()  # its driver is killed
    study = opened()
    assert study._earlier_trials()[0].value == 0.5
    assert study.ask("b").resumes == 0
    study.report("b", 1, 0.3)
    study.finish("b", Outcome("stopped", "why"))
    assert study._earlier_trials()[0].value == pytest.approx(0.4)
    study.close()
