"""A measurement is used again where, and only where, it would come out the same."""

import time

import pytest

from search.hardware import Hardware
from search.probe_cache import probe_path, read_probe, write_probe
from search.probing import Probed
from spaces import change_space, space_for
from tests.small_search import small_spec

HERE = Hardware(cpus=2, memory_gib=16.0, gpus=0, cpu_name="x")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def probed(**changes):
    values = {
        "device": "cpu",
        "precision": "bf16",
        "at_once": 2,
        "epoch_s": 1.5,
        "memory_bytes": 2**30,
        "memory_total": 0,
        "measured_at": time.time(),
        "busy": False,
    }
    return Probed(**{**values, **changes})


def config_of(**changes):
    spec = small_spec("/nowhere")
    return {"config": spec.config.replace(**changes)}


BASE = probe_path(small_spec("/nowhere"), "data", HERE).name


@pytest.mark.parametrize(
    "same",
    [
        {"trials": 99, "name": "other", "seed": 7},
        config_of(learning_rate=0.01, gamma=1.0, mu=0.4, seed=3, epochs=9),
        {"checkpoint_every": 2, "time_budget_s": 5.0},
    ],
)
def test_what_costs_nothing_is_not_in_the_key(same):
    assert probe_path(small_spec("/nowhere", **same), "data", HERE).name == BASE


@pytest.mark.parametrize(
    "other",
    [
        config_of(batch_size=64),
        config_of(max_length=64),
        config_of(encoder="minilm"),
        config_of(tune="head"),
        config_of(precision="fp32"),
        {"max_concurrent": 1},
        {"cpus_per_trial": 2},
        {"space": change_space(space_for("db", mu=0.5), {"batch_size": [8, 512]})},
    ],
)
def test_what_costs_is_in_the_key(other):
    assert probe_path(small_spec("/nowhere", **other), "data", HERE).name != BASE


def test_other_data_another_machine_another_version(monkeypatch):
    spec = small_spec("/nowhere")
    assert probe_path(spec, "other data", HERE).name != BASE
    machine = Hardware(cpus=4, memory_gib=16.0, gpus=0, cpu_name="x")
    assert probe_path(spec, "data", machine).name != BASE
    monkeypatch.setattr("search.probe_cache.package_versions", lambda: {"torch": "9"})
    assert probe_path(spec, "data", HERE).name != BASE


def test_what_was_kept_is_read_again(cache):
    path = probe_path(small_spec("/nowhere"), "data", HERE)
    assert path.is_relative_to(cache)
    assert read_probe(path) is None
    write_probe(path, probed())
    assert read_probe(path).epoch_s == 1.5


def test_old_and_damaged_measurements_are_none():
    path = probe_path(small_spec("/nowhere"), "data", HERE)
    write_probe(path, probed(measured_at=time.time() - 8 * 86400))
    assert read_probe(path) is None
    path.write_text("{")
    assert read_probe(path) is None
    path.write_text('{"epoch_s": 1}')
    assert read_probe(path) is None


def test_a_cache_that_cannot_be_written_costs_no_run(cache):
    cache.write_text("a file")
    write_probe(probe_path(small_spec("/nowhere"), "data", HERE), probed())
