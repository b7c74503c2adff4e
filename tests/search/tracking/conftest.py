import shutil

import pytest

from search.tracking.store import connect


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory):
    """A migrated MLflow database without runs; making one takes seconds, so it is made once."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    client = connect(f"sqlite:///{path}")
    client._tracking_client.store.engine.dispose()  # a copy needs the whole file, not its log
    return path


@pytest.fixture
def runs_dir(tmp_path, fresh_database):
    """A runs folder with a database of its own."""
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copyfile(fresh_database, runs / "mlflow.db")
    return runs
