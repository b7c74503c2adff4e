"""Settings that every tier needs before torch is imported."""

import os
import signal

# tiny models: two threads that wait for each other are slower than one
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# a shell's background job ignores Ctrl-C, and so would every process that a test sends it to
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is no failure
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Files that wait for Ray or servers first: at the end, one worker would wait alone."""
    waits = ("ray", "server", "slow")
    heavy = {item.path for item in items if any(map(item.get_closest_marker, waits))}
    items.sort(key=lambda item: item.path not in heavy)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory):
    """The key that marks a user's own searches is not that of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
