"""A trial as Ray Tune runs it: one epoch a step, in an actor that outlives its trials.

The only module here that imports Ray. Use it as
`tune.with_parameters(FineTuneTrial, data=encoded_dataset, pristine=weights)`, without Tune's own
checkpoints (`tune.CheckpointConfig(checkpoint_at_end=False)`).
"""

import dataclasses
import gc
import logging
from typing import TYPE_CHECKING, Any, Final

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
from trainable.device import is_out_of_memory, pick_device
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset
from trainable.errors import UserError, first_line, one_line
from trainable.job import Job
from trainable.loop import TrainingSession
from trainable.notes import Notes
from trainable.usage import EpochUsage

if TYPE_CHECKING:
    from trainable.model import PristineWeights

_LOGGER: Final = logging.getLogger("trainable")


class FineTuneTrial(Trainable):
    """Trains one `TrialConfig`.

    Ray's config; folders are absolute, since workers may change their working directory:

        number            of the trial
        config            TrialConfig.to_mapping()
        weights_dir       where the best weights of the search lie; None: they are not kept
        checkpoints_dir   where checkpoints lie; None: there are none
        checkpoint_every  epochs between two of them; 0: none is written
        resumes           the interrupted trials that this one runs again, the latest first
        halved            whether it computes in slices of half the size from the start

    A step gives the metrics of `TrainingSession.run_epoch`, `system/...` (`EpochUsage`) and

        done          True after the last epoch, and with an end_status
        end_status    "" | "diverged" | "out_of_memory"
        end_reason    for people; "" without an end_status
        note          for people: what went wrong and cost no more than time; mostly "". What an
                      actor warns of after its last result is lost
        restarted     for people: why the trial started again in its actor; mostly "". This epoch
                      and those to come take the place of all that were told before

    A step that ends the trial so has no `train/` and `val/` metrics, but always `epoch` (the one
    that failed) and `best/...`, which is never NaN.

    A trial that runs out of memory starts again, once, with half the micro-batch: each slice of a
    batch in parts of half its documents and word pieces. The batch of a step stays as it is, and so
    do gradients but for rounding and dropout, whose masks are drawn slice by slice.

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
        self._notes = Notes()
        _LOGGER.addHandler(self._notes)
        self._start(Job.of(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in this actor: data, weights and model stay (DESIGN D11)."""
        self.trial_over()
        self._start(Job.of(new_config))
        return True

    def trial_over(self) -> None:
        """Its last epoch counts: called by the driver, which alone may know (DESIGN D10)."""
        self._keep_weights()
        self._best_weights.write_soon()

    def step(self) -> dict[str, Any]:
        """Train and validate one epoch, or tell again of one that a checkpoint holds."""
        self._keep_weights()
        try:
            no_memory = self._next_epoch()
            if no_memory and self._start_with_less(no_memory):
                no_memory = self._next_epoch()
        except DivergedError as error:
            return self._ended("diverged", str(error))
        if no_memory:
            return self._ended("out_of_memory", f"with {self._job.micro_batches}: {no_memory}")
        return self._epoch_done()

    def cleanup(self) -> None:
        """Called by Ray when the actor ends."""
        self._best_weights.flush()
        _LOGGER.removeHandler(self._notes)
        self._session = None
        _free_memory()

    def _start(self, job: Job) -> None:
        self._job = job
        self._restarted = ""
        """Why the trial started again: what Tune does not know of yet."""
        self._last: dict[str, float] = {}
        """Metrics of the last epoch that Tune knows of."""
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

    def _next_epoch(self) -> str:
        """Have an epoch that Tune does not know of; gives why memory ran out, "" if it did not."""
        if self._session is None:
            return self._start_error
        if self._told < len(self._metrics):
            return ""
        try:
            usage = EpochUsage()
            metrics = self._session.run_epoch()
            self._metrics.append({**metrics, **usage.take()})
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            no_memory = first_line(error)
        else:
            self._checkpoint(self._session)
            return ""
        # here the traceback, and the tensors that it held, are gone
        _free_memory()
        return no_memory

    def _start_with_less(self, no_memory: str) -> bool:
        """Start again with half the micro-batch; False: that was done, or it is one document."""
        job = dataclasses.replace(self._job, halved=True)
        if job.micro_batch == self._job.micro_batch:
            return False
        where = "the set-up" if self._session is None else f"epoch {len(self._metrics) + 1}"
        last = self._last
        self._session = None
        _free_memory()
        self._best_weights.release()
        before = self._job
        self._start(job)
        self._last = last  # counts until an epoch takes its place
        self._restarted = (
            f"out of memory in {where}, goes on with {job.micro_batches} instead of "
            f"{before.micro_batch} (same batch of {job.config.batch_size}): {no_memory}"
        )
        return True

    def _new_session(self, model: torch.nn.Module | None) -> TrainingSession:
        session = TrainingSession(
            self._job.config,
            self._data,
            device=pick_device(),
            pristine=self._pristine,
            reuse=model,
        )
        if self._job.halved:
            session.halve()
        return session

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
        self._last = self._metrics[self._told]
        self._told += 1
        restarted, self._restarted = self._restarted, ""
        return {
            **self._last,
            "done": self._told >= self._job.config.epochs,
            "end_status": "",
            "end_reason": "",
            "note": self._notes.take(),
            "restarted": restarted,
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
        best = {name: value for name, value in self._last.items() if name.startswith("best/")}
        if self._restarted:  # what was told before stays the trial's: say that it was tried
            self._notes.add(self._restarted)
        return {
            "epoch": int(self._last.get("epoch", 0)) + 1,
            **(best or best_metrics(None)),
            "done": True,
            "end_status": status,
            "end_reason": reason,
            "note": self._notes.take(),
            "restarted": "",
        }


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
