import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_server.sizing import MAX_AUTO_WORKERS, THREADS, sized
from mlflow_server.store import StoreError


def test_postgresqls_default_has_room_for_one_worker():
    assert sized(None, cores=16, connections=97) == (1, 41)
    with pytest.raises(StoreError, match="2 workers may need 179 connections, and PostgreSQL has"):
        sized(2, cores=16, connections=97)


def test_as_many_workers_as_cores_and_connections():
    assert sized(None, cores=4, connections=397)[0] == 4
    assert sized(None, cores=2, connections=397)[0] == 2
    assert sized(None, cores=64, connections=10_000)[0] == MAX_AUTO_WORKERS
    assert sized(12, cores=2, connections=10_000)[0] == 12  # who says so may


def test_too_few_for_any():
    with pytest.raises(StoreError, match="1 worker may need 97 connections, and PostgreSQL has 20"):
        sized(None, cores=4, connections=20)


@given(st.one_of(st.none(), st.integers(1, 32)), st.integers(1, 64), st.integers(1, 5000))
def test_no_pool_can_block_itself_and_all_fit(workers, cores, connections):
    try:
        made, pool = sized(workers, cores=cores, connections=connections)
    except StoreError:
        assert connections < 15 + 2 * 41 * (workers or 1)
        return
    assert pool > THREADS  # or each thread's first connection could take the last one
    assert 2 * pool * made <= connections
    assert workers in (None, made)
