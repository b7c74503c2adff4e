"""Children with their own environment; what goes wrong in one is told here."""

import importlib
import os

import pytest

from benchmarks.processes import Processes, all_threads, as_a_trial, one_thread
from trainable.allocator import allocator_environment
from trainable.errors import UserError

pytestmark = pytest.mark.timeout(120)


def test_children_answer_in_order_from_their_own_environment(monkeypatch):
    monkeypatch.setenv("STAYS", "here")
    monkeypatch.setenv("GOES", "away")
    changes = {"NEW": "one", "GOES": None}
    with Processes(importlib.import_module, [("os",), ("os.path",)], changes) as children:
        assert children.call("__getattribute__", "__name__") == ["os", "posixpath"]
    with Processes(importlib.import_module, [("os",)], changes) as children:
        found = [children.call("getenv", name)[0] for name in ("NEW", "GOES", "STAYS")]
        assert children.call("getpid") != [os.getpid()]
    assert found == ["one", None, "here"]
    assert "NEW" not in os.environ
    assert os.environ["GOES"] == "away"


def test_what_a_child_raises_is_raised_here():
    with Processes(importlib.import_module, [("os",)]) as child, pytest.raises(FileNotFoundError):
        child.call("listdir", "/no/such/folder")
    with pytest.raises(ModuleNotFoundError), Processes(importlib.import_module, [("no_such",)]):
        pass


def test_a_child_that_dies_is_told():
    with (
        Processes(importlib.import_module, [("os",)]) as child,
        pytest.raises(UserError, match="a measuring process ended with code 3: perhaps memory"),
    ):
        child.call("_exit", 3)


def test_environments():
    assert one_thread()["OMP_NUM_THREADS"] == as_a_trial()["OMP_NUM_THREADS"] == "1"
    assert all_threads()["OMP_NUM_THREADS"] is None
    for environment in (one_thread(), all_threads()):
        assert environment["LD_PRELOAD"] is None
    assert as_a_trial().items() >= allocator_environment(os.environ).items()
