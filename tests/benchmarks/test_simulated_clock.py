"""The clock calls what Tune calls, in Tune's order, and adds up right."""

from ray.tune.schedulers import FIFOScheduler

from benchmarks.simulated_clock import SimulatedClock


class Recorder(FIFOScheduler):
    """A searcher and a scheduler that write down their calls."""

    def __init__(self, epochs, seconds, decisions=None):
        super().__init__()
        self.epochs, self.seconds, self.decisions = epochs, seconds, decisions or {}
        self.calls, self.proposed = [], 0

    def suggest(self, trial_id):
        self.calls.append(("suggest", trial_id))
        self.proposed += 1
        return {"number": self.proposed - 1}

    def start(self, suggested):
        number = suggested["number"]
        for epoch in range(1, self.epochs[number] + 1):
            done = epoch == self.epochs[number]
            yield self.seconds[number], {"epoch": epoch, "trial": number, "done": done}

    def on_trial_add(self, controller, trial):
        assert trial in controller.get_trials()
        self.calls.append(("add", trial.trial_id))

    def on_trial_result(self, controller, trial=None, result=None):
        if isinstance(controller, str):  # as the searcher
            trial_id, result = controller, trial
            self.calls.append(("searcher hears", trial_id, result["epoch"]))
            return None
        self.calls.append(("scheduler judges", trial.trial_id, result["epoch"]))
        return self.decisions.get((result["trial"], result["epoch"]), "CONTINUE")

    def on_trial_complete(self, controller, trial=None, result=None):
        who = "searcher" if isinstance(controller, str) else "scheduler"
        trial_id = controller if isinstance(controller, str) else trial.trial_id
        self.calls.append((f"{who} told", trial_id, result["epoch"]))


def clock_of(parts, workers, trials):
    return SimulatedClock(parts, parts, parts.start, workers=workers, trials=trials)


def test_calls_come_in_tunes_order():
    parts = Recorder(epochs=[3, 2], seconds=[1.0, 1.0], decisions={(0, 2): "STOP"})
    clock_of(parts, workers=1, trials=2).run()
    assert parts.calls == [
        ("suggest", "t00000"),
        ("add", "t00000"),
        ("scheduler judges", "t00000", 1),
        ("searcher hears", "t00000", 1),
        ("scheduler judges", "t00000", 2),  # stopped: the searcher does not hear of epoch 2
        ("scheduler told", "t00000", 2),
        ("searcher told", "t00000", 2),
        ("suggest", "t00001"),
        ("add", "t00001"),
        ("scheduler judges", "t00001", 1),
        ("searcher hears", "t00001", 1),
        ("scheduler told", "t00001", 2),  # done: nobody is asked
        ("searcher told", "t00001", 2),
    ]


def test_time_and_epochs_of_trials_side_by_side():
    parts = Recorder(epochs=[2, 3, 1], seconds=[2.0, 1.5, 1.0])
    spent = clock_of(parts, workers=2, trials=3).run()
    # worker 1: trial 0 until 4.0, then trial 2 until 5.0; worker 2: trial 1 until 4.5
    assert (spent.epochs, spent.seconds, spent.trials, spent.reached) == (6, 5.0, 3, False)


def test_it_ends_with_the_result_that_was_looked_for():
    parts = Recorder(epochs=[4, 4], seconds=[1.0, 1.6])
    spent = clock_of(parts, workers=2, trials=9).run(
        lambda result: result["trial"] == 1 and result["epoch"] == 2
    )
    # after 3.2 s: three epochs of trial 0 and two of trial 1
    assert (spent.epochs, spent.seconds, spent.trials, spent.reached) == (5, 3.2, 2, True)


def test_a_paused_trial_goes_on_when_no_other_is_pending():
    parts = Recorder(epochs=[2, 1], seconds=[1.0, 1.0], decisions={(0, 1): "PAUSE"})
    clock = clock_of(parts, workers=1, trials=2)
    spent = clock.run()
    assert spent.epochs == 3
    assert [call for call in parts.calls if call[0] == "scheduler told"] == [
        ("scheduler told", "t00001", 1),
        ("scheduler told", "t00000", 2),
    ]
    assert {trial.status for trial in clock.trials} == {"TERMINATED"}


def test_a_searcher_that_has_nothing_more_ends_the_search():
    parts = Recorder(epochs=[1, 1], seconds=[1.0, 1.0])
    parts.suggest = lambda trial_id: {"number": 0} if trial_id == "t00000" else None
    spent = clock_of(parts, workers=3, trials=5).run()
    assert (spent.trials, spent.epochs) == (1, 1)
