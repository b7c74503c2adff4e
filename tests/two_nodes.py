"""A Ray cluster of two nodes with a CPU each, on this machine; the first is its head."""

import contextlib
import tempfile

import pytest

from tests.small_search import ROOT


@contextlib.contextmanager
def two_nodes():
    """Yields the cluster and the node that is not its head."""
    from ray.cluster_utils import Cluster

    size = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    with (
        tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", scratch)  # short, or Ray's sockets do not fit
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", str(ROOT))
        found = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": 1, **size})
        try:
            node = found.add_node(num_cpus=1, **size)
            found.wait_for_nodes()
            yield found, node
        finally:
            found.shutdown()
