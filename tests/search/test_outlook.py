"""What is said before a search: when it is measured, what is refused, how it reads."""

import io
import time

import pytest
from rich.console import Console

from search import outlook
from search.console import Terminal
from search.hardware import Hardware
from search.outlook import look_ahead
from search.outlook_table import outlook_line, outlook_table
from search.probing import OutOfMemoryError, Probed, ProbeError
from spaces import change_space, space_for
from tests.small_search import small_spec
from tests.tiny import tiny_encoded, tiny_encoder, with_features
from trainable.config import TrialConfig
from trainable.errors import UsageError

HERE = Hardware(cpus=2, memory_gib=4.0, gpus=0)
DATA = with_features(tiny_encoded())


def probed(**changes):
    values = {
        "device": "cpu",
        "precision": "fp32",
        "at_once": 2,
        "epoch_s": 90.0,
        "memory_bytes": 2**30,
        "memory_total": 0,
        "measured_at": time.time(),
        "busy": False,
    }
    return Probed(**{**values, **changes})


@pytest.fixture
def probes(monkeypatch, tmp_path):
    """Measurements by decree; the seconds that each was given."""
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    asked = []

    def probe(_spec, _data, *, seconds, timeout_s):  # noqa: ARG001
        asked.append(seconds)
        if isinstance(probe.answer, Exception):
            raise probe.answer
        return probe.answer

    probe.answer = probed()
    probe.asked = asked
    monkeypatch.setattr(outlook, "probe", probe)
    return probe


@pytest.fixture
def ahead(tmp_path):
    """Look ahead of a small search of heads."""
    encoder = str(tiny_encoder(tmp_path / "bert"))

    def look(*, dry_run=False, hardware=HERE, **changes):
        config = TrialConfig(
            loss="db", tune="head", mu=0.5, encoder=encoder, epochs=6, max_length=32
        )
        values = {"preset": "cpu", "config": config, **changes}
        spec = small_spec(tmp_path / "runs", **values)
        terminal = Terminal(Console(file=io.StringIO()), Console(file=io.StringIO()))
        return look_ahead(spec, DATA, hardware, terminal, dry_run=dry_run)

    return look


def text_of(renderable, width=300):
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return " ".join(out.getvalue().split())


def test_a_run_measures_once(ahead, probes):
    first = ahead()
    assert first.probed.epoch_s == 90.0
    assert ahead().probed == first.probed
    assert probes.asked == [outlook._SHORT_S["head"]]


def test_a_dry_run_measures_longer_and_anew(ahead, probes):
    ahead()
    probes.answer = probed(epoch_s=80.0)
    assert ahead(dry_run=True).probed.epoch_s == 80.0
    assert ahead().probed.epoch_s == 80.0
    assert probes.asked == [outlook._SHORT_S["head"], outlook._LONG_S]


@pytest.mark.parametrize("dry_run", [False, True])
def test_trials_elsewhere_are_not_measured_here(ahead, probes, dry_run):
    found = ahead(address="head:6379", dry_run=dry_run)
    assert (found.probed, found.forecast, found.warnings) == (None, None, ())
    assert probes.asked == []
    assert outlook_line(found) == ""
    text = text_of(outlook_table(found))
    assert "not measured trials run on the machines of the cluster" in text
    assert "6 trials reach epoch 1" in text


def test_smoke_is_measured_in_a_dry_run_alone(ahead, probes):
    assert ahead(preset="smoke").probed is None
    assert probes.asked == []
    assert ahead(preset="smoke", dry_run=True).probed is not None


def test_a_trial_that_does_not_fit_is_refused(ahead, probes):
    probes.answer = OutOfMemoryError(
        "[enforce fail]", at_once=2, memory_bytes=3 * 2**30, memory_total=0
    )
    with pytest.raises(UsageError) as caught:
        ahead()
    assert str(caught.value) == (
        "a trial must fit into memory: 2 at once ran out of 4.0 GiB at 3.0 GiB a trial ([enforce "
        "fail]); lower --max-concurrent, --set batch_size, --set head_hidden, or take a smaller "
        "--encoder"
    )
    probes.answer = OutOfMemoryError(
        "CUDA out of memory", at_once=1, memory_bytes=0, memory_total=24 * 2**30
    )
    message = (
        r"1 at once ran out of 24.0 GiB \(CUDA out of memory\); lower --set batch_size, "
        r"--set max_length,"
    )
    with pytest.raises(UsageError, match=message):
        ahead(dry_run=True, config=TrialConfig(loss="db", mu=0.5))


def test_what_cannot_be_measured_stops_nothing(ahead, probes):
    probes.answer = ProbeError("measuring a few steps took too long")
    assert ahead().warnings == (
        "time and memory of a trial are not known: measuring a few steps took too long",
    )
    found = ahead(dry_run=True)
    assert "not measured measuring a few steps took too long" in text_of(outlook_table(found))


def test_more_at_once_than_fit_is_a_warning(ahead, probes):
    probes.answer = probed(memory_bytes=3 * 2**30)
    assert ahead().warnings == ("--max-concurrent 2 trials take more memory than there is: 1 fit",)


def test_a_dead_setting_is_refused_before_anything_is_measured(ahead, probes):
    space = change_space(space_for("db", mu=0.5), {"batch_size": [64, 128]})
    with pytest.raises(UsageError, match="the searched setting 'batch_size'"):
        ahead(space=space)
    assert probes.asked == []


def test_the_table_says_it_all(ahead, probes):  # noqa: ARG001
    text = text_of(outlook_table(ahead(dry_run=True, trials=8)))
    for part in (
        "an epoch 1 min 30 s: 60 documents to train on, 20 to validate (2 trials at once, cpu, fp",
        "a trial at most 9 min; 1.0 of 4.0 GiB",
        "at once 2; what fits here: by cores 2, by memory 4",
        # 1 + 1/2 + 1/3 + 2/4 + 2/5 + 3/6 + 3/7 + 4/8 of 8 go on, and so on
        "ASHA 8 trials reach epoch 1, about 4 epoch 2, about 2 epoch 4, about 2 epoch 6 (the last)",
        "of 48 epochs",
        "disk at most 0.2 GiB in",
    ):
        assert part in text


def test_the_line_says_it_in_short(ahead, probes):
    probes.answer = probed(epoch_s=0.123)
    line = outlook_line(ahead(time_budget_s=0.5))
    assert line.startswith("expected: 0.12 s an epoch (2 trials at once, cpu, fp32), in all about ")
    assert line.endswith(
        ", at most 2 s (its budget ends it after 0 s); a trial takes 1.0 of 4.0 GiB"
    )


def test_an_old_measurement_tells_its_age(ahead, probes):
    probes.answer = probed(measured_at=time.time() - 7200.0, busy=True)
    assert "cpu, fp32, measured 2 h ago, on a busy machine)" in outlook_line(ahead())
