"""What a search takes over from an earlier one."""

import dataclasses

import pytest

from search.first_points import first_points
from search.results import load_search
from search.study import SearchStudy
from spaces import change_space, space_for
from tests.search.test_spec import spec
from tests.search_folder import write_search_folder
from trainable.config import TrialConfig
from trainable.errors import UsageError


@pytest.fixture
def earlier(tmp_path):
    """Trials by objective: 2, 0, 5, then 1 ...; searched: learning_rate, gamma, mu."""
    return load_search(write_search_folder(tmp_path / "earlier"))


def like(record, **changes):
    return spec(config=record.spec.config.replace(**changes), space=space_for("db", mu=0.9))


def test_the_best_trials_of_a_search_of_the_same_kind(earlier):
    names = earlier.spec.space.names
    by_objective = sorted(
        (t for t in earlier.trials if t.best_epoch), key=lambda t: -t.best_objective
    )
    expected = [{name: trial.params[name] for name in names} for trial in by_objective[:3]]
    assert [dict(p) for p in first_points(earlier, like(earlier))] == expected


def test_the_learning_rate_stays_behind_where_something_else_is_tuned(earlier):
    for changes in ({"tune": "head"}, {"encoder": "/another"}):
        points = first_points(earlier, like(earlier, **changes))
        assert points
        assert all(
            point.keys() == set(earlier.spec.space.names) - {"learning_rate"} for point in points
        )


def test_only_the_loss_is_carried_over_to_another_kind_of_search(earlier):
    wider = change_space(like(earlier).space, {"dropout": {"low": 0.0, "high": 0.3}})
    trials = [
        dataclasses.replace(trial, params={**trial.params, "dropout": 0.25})
        for trial in earlier.trials
    ]
    same_kind = like(earlier).replace(space=wider)
    searched = change_space(earlier.spec.space, {"dropout": [0.1, 0.25]})
    spec_of = earlier.spec.replace(space=searched)
    record = dataclasses.replace(earlier, spec=spec_of, trials=tuple(trials))
    assert {point["dropout"] for point in first_points(record, same_kind)} == {0.25}
    other = same_kind.replace(config=same_kind.config.replace(tune="head"))
    assert all("dropout" not in point for point in first_points(record, other))


def test_values_move_into_the_range_and_equal_points_count_once(earlier):
    narrow = dataclasses.replace(
        like(earlier),
        space=space_for("db", mu=0.2),  # mu within 0.1 .. 0.3
        config=TrialConfig(loss="db", mu=0.2, encoder="/another"),
    )
    [*points] = first_points(earlier, narrow)
    assert [point["mu"] for point in points] == pytest.approx([0.3] * len(points))
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)


def test_nothing_to_take_over(earlier):
    other = spec(config=TrialConfig(loss="bce"), space=space_for("bce", mu=None))
    with pytest.raises(UsageError, match="of which this search has nothing to take over"):
        first_points(earlier, other.replace(config=TrialConfig(loss="bce", tune="head")))
    empty = dataclasses.replace(earlier, trials=())
    with pytest.raises(UsageError, match="no trial of it has finished an epoch"):
        first_points(empty, like(earlier))


def test_the_study_tries_them_after_the_papers_values_and_draws_what_they_leave_open(tmp_path):
    space = space_for("db", mu=0.5)
    points = ({"gamma": 1.25, "mu": 0.55}, {"gamma": 3.5})
    study = SearchStudy(tmp_path, name="s", space=space, seed=0)
    study.open(space.paper_point(), *points)
    again = SearchStudy(tmp_path, name="s", space=space, seed=0)
    again.open(space.paper_point(), *points)  # a second attempt does not enqueue them again
    drawn = [again.ask(f"ray-{n}").params for n in range(4)]
    assert drawn[0] == space.paper_point()
    assert (drawn[1]["gamma"], drawn[1]["mu"], drawn[2]["gamma"]) == (1.25, 0.55, 3.5)
    assert set(drawn[1]) == set(drawn[2]) == set(space.names)
    assert drawn[3]["gamma"] not in (1.25, 2.0, 3.5)


def test_points_survive_the_spec_file(tmp_path):
    kept = spec(points=({"gamma": 1.25, "mu": 0.55}, {}))
    kept.save(tmp_path / "spec.yaml")
    assert type(kept).load(tmp_path / "spec.yaml") == kept
    assert kept.fingerprint != spec().fingerprint
    with pytest.raises(UsageError, match="'points' must be a list of settings"):
        type(kept).from_mapping({**kept.to_mapping(), "points": [3]})
