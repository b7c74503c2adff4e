"""Against the plain definition: a look at all trials each time."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment.trial import _TrainingRunMetadata
from ray.tune.schedulers import FIFOScheduler

from search.live_trials import LiveTrials, LooksAtLiveTrials, drop_statistics

FINISHED = ("TERMINATED", "ERROR")


def made(number):
    return SimpleNamespace(trial_id=str(number), status="PENDING")


def over(trial):
    return trial.status in FINISHED


STEPS = st.lists(
    st.one_of(
        st.just("add"),
        st.just("look"),
        st.tuples(st.integers(0, 9), st.sampled_from(["RUNNING", "PENDING", *FINISHED])),
        st.integers(0, 9),  # Tune puts one that starts again at the end
    ),
    max_size=60,
)


@given(STEPS)
def test_open_trials_are_those_of_the_whole_list(steps):
    trials, kept, looked = [], LiveTrials(), set()
    for step in [*steps, "look", "look"]:
        if step == "add":
            trials.append(made(len(trials)))
        elif step == "look":
            told = {trial.trial_id for trial in kept.update(trials)}
            still = {trial.trial_id for trial in trials if not over(trial)}
            assert still <= told
            # one that ended is told once more
            assert told == {t.trial_id for t in trials if t.trial_id not in looked}
            looked = {trial.trial_id for trial in trials if over(trial)}
        elif isinstance(step, int):
            if step < len(trials):
                trials.append(trials.pop(step))
        elif step[0] < len(trials) and not over(trials[step[0]]):
            trials[step[0]].status = step[1]


@given(STEPS)
def test_the_next_trial_is_tunes_own_choice(steps):
    class Quick(LooksAtLiveTrials, FIFOScheduler):
        pass

    trials, quick, plain = [], Quick(), FIFOScheduler()
    controller = SimpleNamespace(get_trials=lambda: trials)
    for step in steps:
        if step == "add":
            trials.append(made(len(trials)))
        elif isinstance(step, tuple) and step[0] < len(trials) and not over(trials[step[0]]):
            trials[step[0]].status = step[1]
        assert quick.choose_trial_to_run(controller) is plain.choose_trial_to_run(controller)


def test_tunes_statistics_of_a_trial_go_and_come_again():
    metadata = _TrainingRunMetadata()
    metadata.update_metric("val/loss", 0.5, step=1)
    assert metadata.metric_analysis
    drop_statistics(SimpleNamespace(run_metadata=metadata))
    assert (metadata.metric_analysis, metadata.metric_n_steps) == ({}, {})
    metadata.update_metric("val/loss", 0.25, step=2)  # a late result is no error
    assert metadata.metric_analysis["val/loss"]["last"] == 0.25
