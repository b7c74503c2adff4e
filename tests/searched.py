"""A search without Ray: searcher, recorder and study, told what Tune would tell them."""

from types import SimpleNamespace

from ray.tune.experiment import Trial

from search.events import EventLog
from search.journal import Journal, read_journal
from search.recorder import Recorder
from search.searcher import StudySearcher
from search.study import SearchStudy
from spaces import change_space
from tests.small_search import small_spec
from trainable.config import BEST_OBJECTIVE

EPOCHS = 4


class Search:
    """Plays Tune's part."""

    def __init__(self, folder, changes=None):
        self.spec = small_spec(folder, epochs=EPOCHS)
        if changes:
            self.spec = self.spec.replace(space=change_space(self.spec.space, changes))
        self.spec.folder.mkdir()
        self.study = SearchStudy(
            self.spec.folder, name=self.spec.name, space=self.spec.space, seed=0
        )
        self.study.open(self.spec.space.paper_point())
        self.heard, self.broken = [], []
        asha = {"epochs": EPOCHS, "reduction_factor": 2}
        self.searcher = StudySearcher(
            self.study, self.spec.trial_config, folder=self.spec.folder, **asha
        )
        self.events = EventLog(Journal(self.spec.folder / "journal.jsonl"), [self.heard.append])
        self.recorder = Recorder(
            self.events,
            self.study,
            folder=self.spec.folder,
            on_broken=self.broken.append,
            **asha,
        )

    def start(self, ray_id, tmp_error=None):
        config = self.searcher.suggest(ray_id)
        trial = SimpleNamespace(
            trial_id=ray_id, config=config, last_result={}, error_file=tmp_error, status="RUNNING"
        )
        self.recorder.on_trial_start(iteration=1, trials=[trial], trial=trial)
        return trial

    def step(self, trial, epoch, value, *, best=None, stop=False, **more):
        result = {
            "epoch": epoch,
            "val/objective": value,
            "val/micro_f1": value,
            BEST_OBJECTIVE: value if best is None else best,
            "best/epoch": epoch,
            "best/threshold": 0.5,
            "end_status": "",
            "end_reason": "",
            "done": False,
            "training_iteration": epoch,
            "pid": 1,
            **more,
        }
        if not stop:
            self.searcher.on_trial_result(trial.trial_id, result)
        self.recorder.on_trial_result(iteration=1, trials=[trial], trial=trial, result=result)
        trial.last_result = result
        if stop:
            self.searcher.on_trial_complete(trial.trial_id, result=result)
            self.recorder.on_trial_complete(iteration=1, trials=[trial], trial=trial)

    def fail(self, trial, text, tmp_path):
        error = tmp_path / "error.txt"
        error.write_text(f"Failure # 1 (occurred at x)\nold\nFailure # 2 (occurred at y)\n{text}")
        trial.error_file, trial.status = str(error), Trial.ERROR
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        self.recorder.on_trial_error(iteration=1, trials=[trial], trial=trial)

    def ends(self):
        events = read_journal(self.spec.folder / "journal.jsonl")
        return [
            (e["trial"], e["status"], e["reason"]) for e in events if e["event"] == "trial_ended"
        ]
