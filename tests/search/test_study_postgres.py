"""The study in a real PostgreSQL, on loopback, in a temporary folder."""

import pytest
from optuna.trial import TrialState

from search.outcome import Outcome
from search.record_errors import storage_told
from search.study import SearchStudy
from spaces import space_for
from tests.postgres import PASSWORD, served_postgres
from tests.small_search import small_spec
from trainable.errors import UsageError

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def database():
    """Address of an empty database, with a user and a password."""
    with served_postgres() as postgres:
        yield postgres.url("postgresql+psycopg", password=PASSWORD)


def test_a_study_in_postgresql(database, tmp_path):
    space = space_for("db", mu=0.5)

    def study():
        return SearchStudy(tmp_path, name="team", space=space, seed=0, storage=database)

    first = study()
    first.open(space.paper_point(), new=True)
    first.ask("a")
    first.report("a", 1, 0.5)
    first.finish("a", Outcome("stopped", "below the top half at epoch 1"))
    second = first.ask("b").params
    first.close()  # the driver is gone; another machine goes on
    again = study()
    again.open(space.paper_point())
    assert again.ask("c").params == second
    states = [trial.state for trial in again.trials]
    assert states == [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    again.close()


def test_a_wrong_password_is_one_line_without_it(database, tmp_path):
    spec = small_spec(tmp_path, storage=database.replace(PASSWORD, "secret"))
    study = SearchStudy(tmp_path, name="x", space=spec.space, seed=0, storage=spec.storage)
    with pytest.raises(UsageError) as caught, storage_told(spec):
        study.open(new=True)
    message = str(caught.value)
    assert message.startswith("--storage postgresql+psycopg://127.0.0.1:")
    assert "cannot be used for the study" in message
    assert "check the address and the password" in message
    assert "secret" not in message
    assert "\n" not in message
