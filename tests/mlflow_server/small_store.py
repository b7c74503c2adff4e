"""A store as a search leaves it, in the few tables that matter: no MLflow needed to make it."""

import contextlib
import sqlite3

from mlflow_server import schema

OLDER = "451aebb31d03"  # MLflow's first migration


def make_store(runs_dir, *, version=None, experiments=2, artifacts=True):
    """Write it; returns the database."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    database = runs_dir / "mlflow.db"
    folder = (runs_dir / "mlartifacts").as_uri()
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);"
            "CREATE TABLE experiments (experiment_id INTEGER, artifact_location VARCHAR(256));"
            "CREATE TABLE runs (run_uuid VARCHAR(32), artifact_uri VARCHAR(200));"
            "CREATE TABLE metrics (key VARCHAR(250), value DOUBLE, run_uuid VARCHAR(32));"
        )
        connection.execute(
            "INSERT INTO alembic_version VALUES (?)", [version or schema.installed().head]
        )
        for number in range(experiments):
            place = "mlflow-artifacts:/0" if number == 0 else f"{folder}/db-{number}"
            connection.execute("INSERT INTO experiments VALUES (?, ?)", [number, place])
            uri = f"{place}/run{number}/artifacts"
            connection.execute("INSERT INTO runs VALUES (?, ?)", [f"run{number}", uri])
            rows = [("val/micro_f1", value / 7, f"run{number}") for value in range(5)]
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?)", rows)
    if artifacts:
        plots = runs_dir / "mlartifacts" / "db-1" / "run1" / "artifacts"
        plots.mkdir(parents=True)
        (plots / "plot größe.png").write_bytes(bytes(range(256)) * 100)
        (runs_dir / "mlartifacts" / "empty.txt").write_bytes(b"")
    return database


def rows(database, query):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()
