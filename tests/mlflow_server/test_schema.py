"""Which migration a database must have, told from files."""

import pytest

from mlflow_server.errors import ServerError
from mlflow_server.schema import Fit, Migrations, installed, migrations

CHAIN = {
    "a_first.py": 'revision = "aaa1"\ndown_revision = None\n',
    "b_then.py": '"""down_revision = "zzz"?"""\n\nrevision = "bbb2"\ndown_revision = "aaa1"\n',
    "c_last.py": "revision: str = 'ccc3'\ndown_revision: str | None = 'bbb2'\n",
    "__init__.py": "",
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_the_end_of_the_chain(tmp_path):
    found = migrations(write(tmp_path, CHAIN))
    assert found == Migrations("ccc3", frozenset({"aaa1", "bbb2", "ccc3"}))
    assert [found.fit(version) for version in ("ccc3", "aaa1", "ddd4", None)] == [
        *(Fit.CURRENT, Fit.OLDER, Fit.NEWER, Fit.UNFINISHED)
    ]


def test_two_ends_are_refused(tmp_path):
    write(tmp_path, CHAIN | {"d.py": "revision = 'ddd4'\ndown_revision = 'bbb2'\n"})
    with pytest.raises(ServerError, match="have 2 ends instead of one: install MLflow anew"):
        migrations(tmp_path)


def test_the_installed_ones():
    found = installed()
    assert len(found.known) > 60
    assert found.fit("451aebb31d03") is Fit.OLDER  # add_metric_step, MLflow's first
