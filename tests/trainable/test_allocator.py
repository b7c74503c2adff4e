"""jemalloc: which variables, and whether a process that starts with them really runs on it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainable.allocator import allocator_environment, is_active

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundled(monkeypatch, tmp_path):
    """A ray's wheel with the library in it."""
    library = tmp_path / "ray" / "core" / "libjemalloc.so"
    library.parent.mkdir(parents=True)
    library.touch()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "ray")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "ray" else None)
    monkeypatch.setattr(sys, "platform", "linux")
    return library


def test_what_a_user_preloads_and_sets_stays(bundled):
    assert allocator_environment({}) == {
        "LD_PRELOAD": str(bundled),
        "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
    }
    users = {"LD_PRELOAD": "/own.so:/two.so", "MALLOC_CONF": "narenas:1", "HOME": "/root"}
    assert allocator_environment(users) == {
        "LD_PRELOAD": f"/own.so:/two.so:{bundled}",
        "MALLOC_CONF": "narenas:1",
    }
    assert users["LD_PRELOAD"] == "/own.so:/two.so"


def test_nothing_where_there_is_no_such_library(bundled, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator_environment({}) == {}
    monkeypatch.setattr(sys, "platform", "linux")
    bundled.unlink()
    assert allocator_environment({}) == {}
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert allocator_environment({}) == {}


def test_a_path_that_the_loader_would_split_is_left_alone(bundled, monkeypatch):
    folder = bundled.parents[1].rename(bundled.parents[2] / "a b")
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert allocator_environment({}) == {}


def test_a_process_started_so_runs_on_it_and_trims_nothing():
    variables = allocator_environment(os.environ)
    if not variables:
        pytest.skip("no ray here, or not Linux")
    code = """
import ctypes
from unittest.mock import patch
from trainable.allocator import is_active
from trainable.device import return_free_memory
with patch.object(ctypes, "CDLL") as library:
    return_free_memory()
print(is_active(), library.called)
"""
    for extra, expected in ((variables, "True False"), ({}, "False True")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_this_process_was_started_without():
    assert is_active() is ("jemalloc" in os.environ.get("LD_PRELOAD", ""))
