"""A Ray cluster of a head without CPUs and two nodes of one each, on this machine."""

import contextlib
import tempfile

import pytest

from tests.small_search import ROOT


@contextlib.contextmanager
def two_nodes():
    """Yields the cluster and its nodes."""
    from ray.cluster_utils import Cluster

    size = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    with (
        tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", scratch)  # short, or Ray's sockets do not fit
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", str(ROOT))
        found = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": 0, **size})
        try:
            nodes = [found.add_node(num_cpus=1, **size) for _ in range(2)]
            found.wait_for_nodes()
            yield found, nodes
        finally:
            found.shutdown()
