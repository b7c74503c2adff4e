"""Where a study is kept: Optuna's storage, read from memory and written to a database.

Optuna's own storage asks the database for the trials before each thing that it does, and gives each
parameter, attribute and state a transaction of its own: 20 a trial, and ever more reading. A
search is the only one that writes its study (it holds the lock of its folder), so what it wrote is
what there is. Here a trial that is asked for is written whole, once it is sampled: a process that
is killed before has not asked for it, and asks for the same one next time.

Traded away: what another process writes into the study of a running search is not seen before the
next attempt at it. SQLite keeps a log of writes (WAL) and does not wait for the disk: a killed
process loses nothing, a power cut may lose the last trials of the study (the journal has them).
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb.models import (
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
)
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_LOCK_TIMEOUT_S: Final = 60


def open_storage(path: Path, url: str | None = None) -> "StudyMirror":
    """The database of a study.

    Args:
        path: Of a SQLite file, which is made where there is none.
        url: Address of another database; None: that file.
    """
    if url is not None:
        # a server drops idle connections: an epoch may take longer than its patience
        return StudyMirror(_Database(url, engine_kwargs={"pool_pre_ping": True}))
    options = {
        "connect_args": {"timeout": _LOCK_TIMEOUT_S},
        "pool_events": [(_write_ahead, "connect")],
    }
    return StudyMirror(_Database(f"sqlite:///{path}", engine_kwargs=options))


def _write_ahead(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA trusted_schema=OFF")  # a file from anybody
    try:
        [(mode,)] = connection.execute("PRAGMA journal_mode=WAL").fetchall()
    except sqlite3.OperationalError:  # a file system without shared memory: as it was
        return
    if mode == "wal":
        connection.execute("PRAGMA synchronous=NORMAL")


class _Database(RDBStorage):
    """Writes a sampled value without two questions to the database: the memory has checked it."""

    def begin(self, trial_id: int, trial: FrozenTrial) -> None:
        """Write that a trial that waited runs, with what was sampled, in one transaction."""
        with _create_scoped_session(self.scoped_session) as session:
            there = TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            for name, value in trial.params.items():
                distribution = trial.distributions[name]
                internal = distribution.to_internal_repr(value)
                self._set_trial_param_without_commit(
                    session, trial_id, name, internal, distribution
                )
            for model, attrs in (
                (TrialUserAttributeModel, trial.user_attrs),
                (TrialSystemAttributeModel, trial.system_attrs),
            ):
                for key, value in attrs.items():
                    self._set_trial_attr_without_commit(session, model, trial_id, key, value)
            there.state, there.datetime_start = trial.state, trial.datetime_start

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,  # noqa: ARG002
    ) -> None:
        session.add(
            TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )


class StudyMirror(InMemoryStorage):
    """Holds one study of `database`.

    A write goes to the memory first: once it has raised, the two may differ, and nothing more may
    be written.

    Args:
        database: The storage that outlives this process.
    """

    def __init__(self, database: _Database) -> None:
        super().__init__()
        self._database = database
        self._study_there = -1
        self._ids_there: dict[int, int] = {}
        self._batched: dict[int, None] | None = None

    @contextlib.contextmanager
    def whole_trials(self) -> Iterator[None]:
        """Within: trials that are made, or begin, are written at the end, each in one transaction.

        None of them is written if the block raises: the study then has to be opened again.
        """
        self._batched = {}
        try:
            yield
            batched = tuple(self._batched)
        finally:
            self._batched = None
        for trial_id in batched:
            if trial_id in self._ids_there:
                self._database.begin(self._ids_there[trial_id], self.get_trial(trial_id))
            else:
                self._write_trial(trial_id)

    def close(self) -> None:
        """Leave the database: SQLite then puts its log away. Nothing can be written any more."""
        self._database.remove_session()
        self._database.engine.dispose()

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """The study, taken over with all its trials where the database has it already.

        Raises:
            DuplicatedStudyError: it has.
        """
        try:
            self._study_there = self._database.create_new_study(directions, study_name)
        except DuplicatedStudyError:
            assert study_name is not None, "a study without a name is a new one"
            if study_name not in self._study_name_to_id:
                self._take_over(study_name)
            raise
        return super().create_new_study(directions, study_name)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial, here and (see `whole_trials`) there."""
        trial_id = super().create_new_trial(study_id, template_trial)
        if self._batched is None:
            self._write_trial(trial_id)
        else:
            self._batched[trial_id] = None
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Note what was sampled."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._write(trial_id, "set_trial_param", param_name, param_value_internal, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change the state; False if a trial that should run runs already."""
        changed = super().set_trial_state_values(trial_id, state, values)
        if changed:
            self._write(trial_id, "set_trial_state_values", state, values)
        return changed

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Note a report."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._write(trial_id, "set_trial_intermediate_value", step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note an attribute of ours."""
        super().set_trial_user_attr(trial_id, key, value)
        self._write(trial_id, "set_trial_user_attr", key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note an attribute of Optuna's."""
        super().set_trial_system_attr(trial_id, key, value)
        self._write(trial_id, "set_trial_system_attr", key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note an attribute of the study."""
        super().set_study_user_attr(study_id, key, value)
        self._database.set_study_user_attr(self._study_there, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note an attribute of the study, of Optuna's."""
        super().set_study_system_attr(study_id, key, value)
        self._database.set_study_system_attr(self._study_there, key, value)

    def delete_study(self, study_id: int) -> None:
        """Nobody deletes a study through this."""
        raise NotImplementedError

    def _take_over(self, name: str) -> None:
        there = self._study_there = self._database.get_study_id_from_name(name)
        directions = self._database.get_study_directions(there)
        here = super().create_new_study(directions, name)
        for key, value in self._database.get_study_user_attrs(there).items():
            super().set_study_user_attr(here, key, value)
        for key, value in self._database.get_study_system_attrs(there).items():
            super().set_study_system_attr(here, key, value)
        for trial in self._database.get_all_trials(there, deepcopy=False):
            self._ids_there[super().create_new_trial(here, trial)] = trial._trial_id

    def _write_trial(self, trial_id: int) -> None:
        self._ids_there[trial_id] = self._database.create_new_trial(
            self._study_there, self.get_trial(trial_id)
        )

    def _write(self, trial_id: int, method: str, *args: Any) -> None:
        if self._batched is not None:
            self._batched[trial_id] = None  # it is written whole, later
        else:
            getattr(self._database, method)(self._ids_there[trial_id], *args)
