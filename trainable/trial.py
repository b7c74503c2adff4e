"""A trial as Ray Tune runs it: one epoch a step, in an actor that outlives its trials.

The only module here that imports Ray. Use it as
`tune.with_parameters(FineTuneTrial, data=encoded_dataset, pristine=weights)`, without Tune's own
checkpoints (`tune.CheckpointConfig(checkpoint_at_end=False)`).
"""

import dataclasses
import gc
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import torch
from ray.tune import Trainable

from trainable.best_epoch import best_metrics
from trainable.best_weights import BestCopy, BestWeights
from trainable.checkpoint import (
    checkpoint_path,
    claim_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from trainable.config import TrialConfig
from trainable.device import is_out_of_memory, pick_device
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset
from trainable.errors import UserError, first_line, one_line
from trainable.loop import TrainingSession

if TYPE_CHECKING:
    from trainable.model import PristineWeights

_LOGGER: Final = logging.getLogger("trainable")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """Ray's config, read."""

    number: int
    config: TrialConfig
    weights_dir: Path | None
    checkpoints_dir: Path | None
    checkpoint_every: int
    resumes: tuple[int, ...]

    @classmethod
    def of(cls, ray_config: dict[str, Any]) -> Self:
        folders = (ray_config.get(name) for name in ("weights_dir", "checkpoints_dir"))
        weights_dir, checkpoints_dir = (Path(folder) if folder else None for folder in folders)
        return cls(
            number=ray_config["number"],
            config=TrialConfig.from_mapping(ray_config["config"]),
            weights_dir=weights_dir,
            checkpoints_dir=checkpoints_dir,
            checkpoint_every=ray_config.get("checkpoint_every", 0),
            resumes=tuple(ray_config.get("resumes", ())),
        )


class _Notes(logging.Handler):
    """What went wrong and cost no more than time, warnings of this package among it.

    A worker's log reaches nobody; the note of a result does. Each text once in an actor.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()
        self._new: list[str] = []

    def add(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._new.append(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging, in any thread and under this handler's lock."""
        self.add(f"warns: {' '.join(record.getMessage().split())}")

    def take(self) -> str:
        """What is new, for one result."""
        self.acquire()
        try:
            taken, self._new = self._new, []
        finally:
            self.release()
        return "; ".join(taken)


class FineTuneTrial(Trainable):
    """Trains one `TrialConfig`.

    Ray's config; folders are absolute, since workers may change their working directory:

        number            of the trial
        config            TrialConfig.to_mapping()
        weights_dir       where the best weights of the search lie; None: they are not kept
        checkpoints_dir   where checkpoints lie; None: there are none
        checkpoint_every  epochs between two of them; 0: none is written
        resumes           the interrupted trials that this one runs again, the latest first

    A step gives the metrics of `TrainingSession.run_epoch` and

        done          True after the last epoch, and with an end_status
        end_status    "" | "diverged" | "out_of_memory"
        end_reason    for people; "" without an end_status
        note          for people: what went wrong and cost no more than time; mostly "". What an
                      actor warns of after its last result is lost

    A step that ends the trial so has no `train/` and `val/` metrics, but always `epoch` (the one
    that failed) and `best/...`, which is never NaN.

    A trial that goes on from a checkpoint first gives the metrics of the epochs in it, a step
    each: to Tune, ASHA and the journal it is a trial that trains its first epochs very fast.
    """

    def setup(
        self,
        config: dict[str, Any],
        data: EncodedDataset,
        pristine: "PristineWeights | None" = None,
    ) -> None:
        """Called by Ray once per actor; without `pristine` weights the actor reads them."""
        self._data = data
        self._pristine = pristine
        self._session: TrainingSession | None = None
        self._best_weights = BestWeights()
        self._notes = _Notes()
        _LOGGER.addHandler(self._notes)
        self._start(_Job.of(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in this actor: data, weights and model stay (DESIGN D11)."""
        self.trial_over()
        self._start(_Job.of(new_config))
        return True

    def trial_over(self) -> None:
        """Its last epoch counts: called by the driver, which alone may know (DESIGN D10)."""
        self._keep_weights()
        self._best_weights.write_soon()

    def step(self) -> dict[str, Any]:
        """Train and validate one epoch, or tell again of one that a checkpoint holds."""
        if self._session is None:  # memory ran out when the trial was set up
            return self._ended("out_of_memory", self._start_error)
        self._keep_weights()
        if self._told < len(self._metrics):
            return self._epoch_done()
        try:
            metrics = self._session.run_epoch()
        except DivergedError as error:
            return self._ended("diverged", str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
        else:
            self._metrics.append(metrics)
            self._checkpoint(self._session)
            return self._epoch_done()
        # here the traceback, and the tensors that it held, are gone
        _free_memory()
        return self._ended("out_of_memory", reason)

    def cleanup(self) -> None:
        """Called by Ray when the actor ends."""
        self._best_weights.flush()
        _LOGGER.removeHandler(self._notes)
        self._session = None
        _free_memory()

    def _start(self, job: _Job) -> None:
        self._job = job
        self._metrics: list[dict[str, float]] = []
        """Of every epoch of the trial."""
        self._told = 0
        """Epochs that Tune knows of."""
        self._kept = 0
        """The last epoch whose weights were copied."""
        self._start_error = ""
        model = None if self._session is None else self._session.model
        self._session = None
        _free_memory()
        try:
            encoder = job.config.encoder
            known = self._pristine is not None and self._pristine.encoder == encoder
            if job.config.tune == "all" and not known:
                from trainable.model import PristineWeights  # transformers: heads do without

                self._pristine = PristineWeights.load(encoder)
            self._session = self._new_session(model)
            self._resume()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._session = None
            self._start_error = first_line(error)

    def _new_session(self, model: torch.nn.Module | None) -> TrainingSession:
        return TrainingSession(
            self._job.config,
            self._data,
            device=pick_device(),
            pristine=self._pristine,
            reuse=model,
        )

    def _resume(self) -> None:
        """Go on from a checkpoint, if there is one that fits."""
        job, session = self._job, self._session
        if job.checkpoints_dir is None or session is None:
            return
        try:
            path = claim_checkpoint(job.checkpoints_dir, job.number, job.resumes)
            if path is not None:
                self._metrics = load_checkpoint(session, path)
        except (UserError, OSError) as error:
            self._notes.add(f"trains from its first epoch: {one_line(error)}")
            self._session = self._new_session(session.model)

    def _epoch_done(self) -> dict[str, Any]:
        """The result of the next epoch that Tune does not know of."""
        metrics = self._metrics[self._told]
        self._told += 1
        return {
            **metrics,
            "done": self._told >= self._job.config.epochs,
            "end_status": "",
            "end_reason": "",
            "note": self._notes.take(),
        }

    def _keep_weights(self) -> None:
        """Copy the weights of the last epoch if they are the best.

        Called once Tune has taken note of that epoch: one that runs when the search is stopped
        never counts, and must not take the place of one that does.
        """
        session, weights_dir = self._session, self._job.weights_dir
        if session is None or weights_dir is None or self._told != session.epoch:
            return
        best = session.best
        if best is None or best.epoch != session.epoch or best.epoch == self._kept:
            return
        self._kept = best.epoch
        copy = BestCopy(
            weights_dir=weights_dir,
            number=self._job.number,
            objective=best.objective,
            epoch=best.epoch,
            threshold=best.threshold,
        )
        self._best_weights.take(copy, session.model.state_dict())

    def _checkpoint(self, session: TrainingSession) -> None:
        job = self._job
        if job.checkpoints_dir is None or not job.checkpoint_every:
            return
        if session.epoch % job.checkpoint_every or session.epoch >= job.config.epochs:
            return
        if session.best is not None and session.best.epoch != session.epoch:
            self._best_weights.flush()  # the checkpoint does not have them
        try:
            save_checkpoint(
                session, checkpoint_path(job.checkpoints_dir, job.number), self._metrics
            )
        except OSError as error:
            self._notes.add(f"goes on without new checkpoints: {one_line(error)}")

    def _ended(self, status: str, reason: str) -> dict[str, Any]:
        if self._session is None:
            best, epoch = best_metrics(None), 1
        else:
            best = self._session.best_metrics
            epoch = self._session.epoch + 1
        return {
            "epoch": epoch,
            **best,
            "done": True,
            "end_status": status,
            "end_reason": reason,
            "note": self._notes.take(),
        }


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
