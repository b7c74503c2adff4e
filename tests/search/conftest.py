import pytest

from search.tracking.store import connect


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory):
    """A migrated MLflow database without runs; making one takes seconds, so it is made once."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    client = connect(f"sqlite:///{path}")
    client._tracking_client.store.engine.dispose()  # a copy needs the whole file, not its log
    return path
