"""A trial that trains nothing: for tests of the search around it.

What trial n does stands in `plan.json` of the search folder:

    {"quality": {"n": 0.7}, "acts": {"n": ["diverge", 2]}, "step_s": 0.0}

What stands for `n@seed` holds for that seed alone. A trial's objective rises towards its quality.
An act happens in the step given: `diverge`, `out_of_memory`, `raise`, `kill` (SIGKILL to itself,
once), `kill_always`, `hang`, `nan` (as its objective), `restart` (it tells its epochs anew, once,
as one whose memory ran out does).
"""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
from ray.tune import Trainable
from safetensors.numpy import save_file


class DummyTrial(Trainable):
    def setup(self, config, data):
        assert len(data.train) > 0
        self._start(config)

    def reset_config(self, new_config):
        self._start(new_config)
        return True

    def step(self):
        self._epoch += 1
        time.sleep(self._plan.get("step_s", 0.0))
        act, at = self._planned("acts", ["", 0])
        if act and at == self._epoch:
            ended = self._act(act)
            if ended:
                return ended
        value = self._quality * (1 - 0.5**self._epoch) + self._poison
        self._best = (value, self._epoch)
        self._write_weights(value)
        return {
            **self._best_metrics(),
            "epoch": self._epoch,
            "train/loss": 1.0 / self._epoch,
            "val/objective": value,
            "val/micro_f1": value,
            "val/macro_f1": value / 2,
            "time/epoch_s": 0.1,
            "time/train_docs_per_s": 100.0,
            "pid_of_worker": os.getpid(),
            "done": self._epoch >= self._epochs,
            "end_status": "",
            "end_reason": "",
            "restarted": self._take_restart(),
        }

    def _write_weights(self, value):
        """As the contract of the weights folder has them, with no model in them."""
        if self._weights is None:
            return
        folder = Path(self._weights)
        folder.mkdir(exist_ok=True, parents=True)
        save_file(
            {"nothing": np.zeros(1, np.float32)},
            folder / f"trial-{self._number:05d}.safetensors",
            metadata={"objective": repr(value), "epoch": str(self._epoch), "threshold": "0.4"},
        )

    def _start(self, config):
        self._number = config["number"]
        self._epochs = config["config"]["epochs"]
        self._seed = config["config"]["seed"]
        self._weights = config["weights_dir"]
        above = Path(config["checkpoints_dir"]).parents
        self._folder = next(folder for folder in above if (folder / "plan.json").exists())
        self._plan = json.loads((self._folder / "plan.json").read_text())
        self._quality = self._planned("quality", 0.5)
        self._epoch = 0
        self._best = (0.0, 0)
        self._poison = 0.0
        self._restarts = []

    def _take_restart(self):
        return self._restarts.pop() if self._restarts and self._epoch == 1 else ""

    def _planned(self, what, default):
        """Of this trial with this seed."""
        plans = self._plan.get(what, {})
        return plans.get(f"{self._number}@{self._seed}", plans.get(str(self._number), default))

    def _act(self, act):
        if act == "raise":
            raise ValueError("the dummy was told to raise")
        if act == "nan":
            self._poison = math.nan
            return None
        if act == "restart":
            mark = self._folder / f"restarted-{self._number}"
            if not mark.exists():
                mark.touch()
                self._restarts, self._epoch = [f"out of memory in epoch {self._epoch}"], 1
            return None
        if act == "hang":
            time.sleep(600)
        if act in ("kill", "kill_always"):
            mark = self._folder / f"killed-{self._number}-{self._seed}"
            if act == "kill_always" or not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return None
        return {
            **self._best_metrics(),
            "epoch": self._epoch,
            "done": True,
            "end_status": {"diverge": "diverged"}.get(act, act),
            "end_reason": f"{act} in step {self._epoch}",
        }

    def _best_metrics(self):
        value, epoch = self._best
        return {
            "best/objective": value,
            "best/micro_f1": value,
            "best/macro_f1": value / 2,
            "best/epoch": epoch,
            "best/threshold": 0.4,
        }


def dummy_report(config, data, weights, threshold, epoch):
    """In place of `search.winner.evaluate_on_test`."""
    assert weights is None or Path(weights).exists()
    assert epoch >= 1
    return {
        "split": "test",
        "threshold": threshold,
        "num_docs": len(data.test),
        "micro_f1": 0.66,
        "macro_f1": 0.33,
        "learning_rate": config["learning_rate"],
        "trained_with": config["seed"],
    }
