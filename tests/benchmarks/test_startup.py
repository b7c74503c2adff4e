"""Trials that start in a fresh process and in a warm one."""

import pytest

from benchmarks.startup import measure, three_trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.ray
def test_first_and_warm_starts(corpus):
    configs = three_trials(corpus.encoder, corpus.data, max_length=64, batch_size=4)
    assert len(set(configs)) == 3
    found = measure(corpus.data, configs, with_ray=True).figures
    assert found["process_and_imports_s"] > 0.1
    for start in (found, found["ray"]):
        assert 0 < start["first_s"] < start["first_step_done_s"][0]
        assert len(start["warm_s"]) == 2
        assert all(
            0 < begun < done
            for begun, done in zip(start["warm_s"], start["first_step_done_s"][1:], strict=True)
        )
