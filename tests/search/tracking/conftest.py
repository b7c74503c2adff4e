import contextlib
import importlib
import shutil
import warnings

import pytest

from tests.search_folder import write_search_folder
from tests.tracked import FaultyServer, quickly


@pytest.fixture
def runs_dir(tmp_path, fresh_database):
    """A runs folder with a database of its own."""
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copyfile(fresh_database, runs / "mlflow.db")
    return runs


@pytest.fixture
def folder(runs_dir):
    """The folder of a whole search."""
    return write_search_folder(runs_dir / "demo-db")


@pytest.fixture(scope="session")
def mlflow_app(tmp_path_factory, fresh_database):
    """MLflow's own web application, over a database of its own; MLflow takes one in a process."""
    home = tmp_path_factory.mktemp("server")
    shutil.copyfile(fresh_database, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{home / 'mlflow.db'}")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(home / "artifacts"))
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        with warnings.catch_warnings(), contextlib.suppress(ImportError):
            warnings.simplefilter("ignore")  # of what the application imports when it is asked
            importlib.import_module("mlflow.server.auth")
        from mlflow.server import app

        yield app


@pytest.fixture
def server(mlflow_app):
    """That application on a port, with faults to order."""
    server = FaultyServer(mlflow_app)
    yield server
    server.stop()


@pytest.fixture
def quick():
    """Looks and retries at once, gives up soon."""
    with quickly():
        yield
