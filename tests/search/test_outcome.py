import math

import numpy as np
import pytest

from search.outcome import Outcome, broke_down, one_line, outcome_of_error, outcome_of_result
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

RAISED = """1 (occurred at 2026-01-01_00-00-00)
ray::FineTuneTrial.train() (pid=1, ip=192.0.2.2, actor_id=0)
  File "/x/trial.py", line 1, in step
{error}
"""
DIED = """1 (occurred at 2026-01-01_00-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: FineTuneTrial
\tpid: 14425
The actor is dead because its worker process has died. Worker exit type: {kind} Worker exit \
detail: {detail}
"""
CRASHED = DIED.format(
    kind="SYSTEM_ERROR",
    detail="connection error code 2. End of file. Some common causes include: (1) the process was "
    "killed by the OOM killer due to high memory usage, (2) ray stop --force was called",
)


def result(epoch, **more):
    return {"epoch": epoch, "end_status": "", "end_reason": "", **more}


def ended(result, epochs=9, reduction_factor=3):
    return outcome_of_result(result, epochs=epochs, reduction_factor=reduction_factor)


def test_a_trial_at_its_last_epoch_is_completed():
    assert ended(result(9)) == Outcome("completed", "all 9 epochs")


@pytest.mark.parametrize(
    ("factor", "words"), [(2, "top half"), (3, "top third"), (4, "top quarter"), (7, "top 1/7")]
)
def test_a_trial_that_ended_before_was_stopped(factor, words):
    outcome = ended(result(3), reduction_factor=factor)
    assert outcome == Outcome("stopped", f"below the {words} at epoch 3")


def test_one_that_somebody_stopped_says_who():
    asked = {"stop_reason": "by `search stop` at epoch 3"}
    assert ended(result(3, **asked)) == Outcome("stopped", "by `search stop` at epoch 3")
    assert ended(result(9, **asked)).status == "completed"  # the request came too late


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
@pytest.mark.parametrize("epoch", [3, 9])
def test_what_the_trial_says_of_itself_counts_first(status, epoch):
    own = result(epoch, end_status=status, end_reason="loss is nan\nat step 3")
    assert ended(own) == Outcome(status, "loss is nan at step 3")


@pytest.mark.parametrize("key", [OBJECTIVE, BEST_OBJECTIVE])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.5"])
def test_an_objective_that_is_no_finite_number_is_a_divergence(key, value):
    own = result(9, **{OBJECTIVE: 0.5, BEST_OBJECTIVE: 0.5, key: value})
    assert ended(own) == Outcome("diverged", "the objective is not finite at epoch 9")
    assert broke_down(own)
    assert not broke_down({**own, key: np.float32(0.5)})


def test_an_unknown_end_status_is_a_failure():
    assert ended(result(3, end_status="bored")) == Outcome("failed", "bored")


def test_a_machine_that_went_down():
    """As Ray tells of the node of a cluster that was killed."""
    text = (
        "The actor 5a7a39103cb86db93a4ffb3a01000000 is unavailable: The actor is temporarily "
        "unavailable: RpcError: RPC error: Socket closed rpc_code: 14. The task may or may not "
        "have been executed on the actor."
    )
    assert outcome_of_error(text) == Outcome(
        "failed", "its worker cannot be reached: it died, or its machine did"
    )


def test_an_error_is_told_by_its_last_line():
    assert outcome_of_error(RAISED.format(error="ValueError: no")) == Outcome(
        "failed", "ValueError: no"
    )
    assert outcome_of_error("") == Outcome("failed", "unknown error")


@pytest.mark.parametrize(
    "text",
    [
        RAISED.format(error="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        RAISED.format(error="MemoryError"),
        "1 worker(s) were killed due to the node running low on memory. See the logs",
        DIED.format(kind="NODE_OUT_OF_MEMORY", detail="killed as the node was low on memory"),
    ],
)
def test_memory_that_ran_out_is_told(text):
    assert outcome_of_error(text).status == "out_of_memory"


def test_a_dead_worker_did_not_necessarily_run_out_of_memory():
    """Ray's message names the OOM killer among the possible causes of every death."""
    assert outcome_of_error(CRASHED) == Outcome(
        "failed", "its worker process died: killed from outside, or it crashed"
    )


def test_an_error_while_the_worker_starts_is_told_as_itself():
    text = (
        "The actor died because of an error raised in its creation task, "
        "ray::FineTuneTrial.__init__() (pid=1)\nModuleNotFoundError: No module named 'x'"
    )
    assert outcome_of_error(text) == Outcome("failed", "ModuleNotFoundError: No module named 'x'")


def test_reasons_stay_short():
    assert one_line("a\n  b") == "a b"
    assert len(one_line("x" * 1000)) == 300
