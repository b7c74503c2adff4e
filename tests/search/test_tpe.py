"""Against Optuna's own TPE, on studies of random trials."""

import warnings

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import TrialState, create_trial

from search.samplers import make_sampler
from search.tpe import RecentTPESampler, that_matter
from spaces import space_for

SPACE = space_for("db", mu=0.5)
OPTIONS = {"n_startup_trials": 5, "multivariate": True, "group": True, "constant_liar": True}
STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def drawn(number, seed, *, completes=0.4, asked=None):
    """A trial of the past, with its number, as a study gives it."""
    rng = np.random.default_rng([seed, number])
    state = STATES[rng.choice(3, p=[completes, 0.95 - completes, 0.05])]
    # few different values: ties are the rule
    value = float(rng.integers(5)) / 5
    curve = {1: value} if rng.random() < 0.5 else {1: 0.0, 3: value}
    trial = create_trial(
        state=state,
        params=asked.params if asked else {},
        distributions=asked.distributions if asked else {},
        value=None if state == TrialState.FAIL else value,
        intermediate_values=curve if rng.random() < 0.9 else {},
    )
    trial.number = number
    return trial


def filled(count, seed):
    """A study with so many trials, whose settings were drawn at random."""
    source = optuna.create_study(sampler=RandomSampler(seed=seed))
    study = optuna.create_study(direction="maximize")
    for number in range(count):
        asked = source.ask()
        SPACE.sample(asked)
        study.add_trial(drawn(number, seed, asked=asked))
    return study


@pytest.mark.parametrize("asked", [3, 7, 300])
def test_proposals_are_optunas_own_while_all_trials_matter(asked):
    study = filled(asked, seed=1)
    proposals = []
    for kind in (TPESampler, RecentTPESampler):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `group` is experimental
            study.sampler = kind(seed=3, **OPTIONS)
            trial = study.ask()
            proposals.append(SPACE.sample(trial))
        study.tell(trial, state=TrialState.FAIL)
    assert proposals[0] == proposals[1]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 400), st.sampled_from([0.0, 0.05, 0.4]))
def test_the_best_are_those_that_optuna_would_take_of_all(seed, completes):
    """Of 400 trials: the 25 best ones, whichever these are, and the 250 latest others."""
    trials = [drawn(number, seed, completes=completes) for number in range(400)]
    study = optuna.create_study(direction="maximize")
    told = [t for t in trials if t.state != TrialState.FAIL]
    best, others = _split_trials(study, told, default_gamma(len(told)))
    seen = [t for t in that_matter(trials, 250) if t.state != TrialState.FAIL]
    best_seen, others_seen = _split_trials(study, seen, default_gamma(len(seen)))
    assert [t.number for t in best_seen] == [t.number for t in best]
    assert [t.number for t in others_seen] == [t.number for t in others[-250:]]


def test_running_trials_are_always_seen():
    trials = [drawn(number, 0) for number in range(400)]
    trials[3] = create_trial(state=TrialState.RUNNING)
    trials[3].number = 3
    assert 3 in {trial.number for trial in that_matter(trials, 250)}


def test_a_search_uses_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(make_sampler("tpe", seed=0, startup_trials=4), RecentTPESampler)
