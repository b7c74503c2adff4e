"""Addresses of artifacts after a move: those of the folder, and no others."""

import contextlib
import sqlite3
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_server import locations

OLD, NEW = Path("/home/ann/my runs/mlartifacts"), Path("/srv/größe/mlartifacts")
INSIDE = (OLD.as_uri(), str(OLD))

starts = st.sampled_from(
    [*INSIDE, "s3://bucket/mlartifacts", "mlflow-artifacts:/0", f"{OLD}2", "/home/ann", "models:/m"]
)
ends = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


def expected(address):
    """Told piece by piece, without prefixes of strings."""
    for old, new in zip(INSIDE, (NEW.as_uri(), str(NEW)), strict=True):
        parts, folder = address.split("/"), old.split("/")
        if parts[: len(folder)] == folder:
            return "/".join([*new.split("/"), *parts[len(folder) :]])
    return address


@given(st.lists(st.builds("{}{}".format, starts, ends) | st.none(), max_size=8))
@example([f"{start}{end}" for start in INSIDE for end in ("", "/", "/x", "x", "%20/x", "//")])
def test_what_lay_in_the_folder_lies_in_the_new_one(addresses):
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE runs (run_uuid, artifact_uri, name)")
        connection.execute("CREATE TABLE tags (value)")  # users' own: never touched
        for number, address in enumerate(addresses):
            connection.execute("INSERT INTO runs VALUES (?, ?, ?)", [number, address, address])
            connection.execute("INSERT INTO tags VALUES (?)", [address])
        connection.commit()
        moved = locations.move(connection, [OLD], NEW)
        after = connection.execute("SELECT artifact_uri, name FROM runs ORDER BY run_uuid")
        wanted = [None if address is None else expected(address) for address in addresses]
        assert after.fetchall() == list(zip(wanted, addresses, strict=True))
        assert moved == sum(one != other for one, other in zip(wanted, addresses, strict=True))
        tags = connection.execute("SELECT value FROM tags").fetchall()
        assert [tag for (tag,) in tags] == addresses


def test_to_the_same_place_nothing_moves():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE runs (artifact_uri)")
        connection.execute("INSERT INTO runs VALUES (?)", [f"{OLD}/x"])
        connection.commit()
        assert locations.move(connection, [OLD], OLD) == 0
