"""A trial as Ray Tune runs it: one epoch a step, in an actor that outlives its trials.

The only module here that imports Ray. Use it as
`tune.with_parameters(FineTuneTrial, data=encoded_dataset)`.
"""

import gc
from pathlib import Path
from typing import Any

import torch
from ray.tune import Trainable

from trainable.checkpoint import load_checkpoint, save_checkpoint
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.device import is_out_of_memory, pick_device
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset
from trainable.loop import TrainingSession
from trainable.model import PristineWeights
from trainable.weights import keep_if_best


class FineTuneTrial(Trainable):
    """Trains one `TrialConfig`.

    Ray's config: `{"number": int, "config": TrialConfig.to_mapping(), "weights_dir": str | None}`;
    the folder is absolute, since workers change their working directory.

    A step gives the metrics of `TrainingSession.run_epoch` and

        done          True after the last epoch, and with an end_status
        end_status    "" | "diverged" | "out_of_memory"
        end_reason    for people; "" without an end_status

    A step that ends the trial so has no `train/` and `val/` metrics, but always `epoch` (the one
    that failed) and `best/...`, which is never NaN.
    """

    def setup(self, config: dict[str, Any], data: EncodedDataset) -> None:
        """Called by Ray once per actor."""
        self._data = data
        self._pristine: PristineWeights | None = None
        self._session: TrainingSession | None = None
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in this actor: data, weights and model stay (DESIGN D11)."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and validate one epoch."""
        if self._session is None:  # memory ran out when the trial was set up
            return self._ended("out_of_memory", self._start_error)
        try:
            metrics = self._session.run_epoch()
        except DivergedError as error:
            return self._ended("diverged", str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = _first_line(error)
        else:
            self._keep_weights()
            done = self._session.epoch >= self._session.config.epochs
            return {**metrics, "done": done, "end_status": "", "end_reason": ""}
        # here the traceback, and the tensors that it held, are gone
        _free_memory()
        return self._ended("out_of_memory", reason)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the session's state into Ray's folder."""
        if self._session is not None:
            save_checkpoint(self._session, Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a folder that `save_checkpoint` filled."""
        if self._session is not None:
            load_checkpoint(self._session, Path(checkpoint))

    def cleanup(self) -> None:
        """Called by Ray when the actor ends."""
        self._session = None
        _free_memory()

    def _start(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        self._weights_dir: str | None = config["weights_dir"]
        self._start_error = ""
        trial_config = TrialConfig.from_mapping(config["config"])
        model = None if self._session is None else self._session.model
        self._session = None
        _free_memory()
        try:
            encoder = trial_config.encoder
            known = self._pristine is not None and self._pristine.encoder == encoder
            if trial_config.tune == "all" and not known:
                self._pristine = PristineWeights.load(encoder)
            self._session = TrainingSession(
                trial_config,
                self._data,
                device=pick_device(),
                pristine=self._pristine,
                reuse=model,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._start_error = _first_line(error)

    def _keep_weights(self) -> None:
        session = self._session
        if session is None or session.best is None or self._weights_dir is None:
            return
        if session.best.epoch == session.epoch:
            keep_if_best(
                Path(self._weights_dir),
                self._number,
                objective=session.best.objective,
                epoch=session.best.epoch,
                threshold=session.best.threshold,
                state=session.model.state_dict(),
            )

    def _ended(self, status: str, reason: str) -> dict[str, Any]:
        if self._session is None:
            best = {BEST_OBJECTIVE: 0.0, "best/epoch": 0, "best/threshold": 0.5}
            epoch = 1
        else:
            best = self._session.best_metrics
            epoch = self._session.epoch + 1
        return {
            "epoch": epoch,
            **best,
            "done": True,
            "end_status": status,
            "end_reason": reason,
        }


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
