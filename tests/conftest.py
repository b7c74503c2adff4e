"""Settings that every tier needs before torch is imported."""

import os

# tiny models: two threads that wait for each other are slower than one
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# a busy machine is no failure
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Under pytest-xdist: a file stays in one process, and Ray's tests follow one another."""
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
