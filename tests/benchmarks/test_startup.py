"""Trials that start in a fresh process and in a warm one."""

import pytest

from benchmarks.startup import measure, three_trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("with_ray", [False, pytest.param(True, marks=pytest.mark.ray)])
def test_first_and_warm_starts(corpus, with_ray):
    configs = three_trials(corpus.encoder, corpus.data, max_length=64, batch_size=4)
    assert len(set(configs)) == 3
    found = measure(corpus.data, configs, with_ray=with_ray).figures
    assert found["process_and_imports_s"] > 0.1
    for start in (found, found["ray"]) if with_ray else (found,):
        assert 0 < start["first_s"] < start["first_step_done_s"][0]
        assert len(start["warm_s"]) == 2
        assert all(
            0 < begun < done
            for begun, done in zip(start["warm_s"], start["first_step_done_s"][1:], strict=True)
        )
    assert (found["ray"] is not None) is with_ray
