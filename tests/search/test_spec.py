"""The resolved search survives its file, and its identity is what changes the numbers."""

import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.credentials import without_credentials
from search.spec import SPEC_NAME, SearchSpec
from spaces import change_space, space_for
from tests.small_search import small_spec
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.errors import UsageError


def spec(**changes) -> SearchSpec:
    values = {
        "name": "a-search",
        "runs_dir": "/runs",
        "preset": "cpu",
        "config": TrialConfig(loss="db", mu=0.9, epochs=6),
        "space": space_for("db", mu=0.9),
        "trials": 12,
        "grace_period": 2,
        "reduction_factor": 2,
        "cpus_per_trial": 1.0,
        "max_concurrent": 2,
    }
    return SearchSpec(**{**values, **changes})


NAMES = st.text(string.ascii_letters + string.digits + "._-", max_size=30).map("a".__add__)
AMOUNTS = st.floats(0.01, 1e6, allow_nan=False)


@st.composite
def specs(draw) -> SearchSpec:
    loss = draw(st.sampled_from(sorted(LOSS_HYPERPARAMETERS)))
    mu = draw(st.floats(0.1, 0.95))
    uses_mu = "mu" in LOSS_HYPERPARAMETERS[loss]
    return spec(
        name=draw(NAMES),
        runs_dir=draw(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])).map("/".__add__)
        ),
        config=TrialConfig(
            loss=loss,
            mu=mu if uses_mu else None,
            epochs=draw(st.integers(1, 100)),
            learning_rate=draw(st.floats(1e-9, 1)),
            text_column=draw(st.text()),
        ),
        space=space_for(loss, mu=mu),
        trials=draw(st.integers(1, 1000)),
        time_budget_s=draw(st.none() | AMOUNTS),
        cpus_per_trial=draw(AMOUNTS),
        gpus_per_trial=draw(st.sampled_from([0.0, 0.25, 1.0, 2.0])),
        seed=draw(st.integers(0, 2**32 - 1)),
        address=draw(st.none() | st.just("host:6379")),
        tracking_uri=draw(st.none() | st.just("http://host:5000")),
    )


@given(specs())
def test_a_file_holds_the_whole_spec(tmp_path_factory, original):
    path = tmp_path_factory.mktemp("spec") / SPEC_NAME
    original.save(path)
    assert SearchSpec.load(path) == original


def test_the_file_has_no_credentials(tmp_path):
    path = tmp_path / SPEC_NAME
    secret = spec(tracking_uri="https://ann:hunter2@host:5000/x", address="ann:hunter2@host:6379")
    secret.save(path)
    assert "hunter2" not in path.read_text()
    assert "hunter2" not in repr(secret)
    assert SearchSpec.load(path).tracking_uri == "https://host:5000/x"


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        (None, None),
        ("host:6379", "host:6379"),
        ("ann:pw@host:6379", "host:6379"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("sqlite:///b.db", "sqlite:///b.db"),
        ("postgresql://u:p@h/db?user=u&password=p&sslmode=on", "postgresql://h/db?sslmode=on"),
    ],
)
def test_without_credentials(uri, bare):
    assert without_credentials(uri) == bare


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"),
    [
        (1, 3, 10, (1, 3, 9)),
        (4, 3, 40, (4, 12, 36)),
        (2, 2, 6, (2, 4)),
        (1, 2, 4, (1, 2)),  # at 4 every trial ends anyhow
        (3, 3, 3, ()),
        (5, 2, 1, ()),
    ],
)
def test_rungs(grace, factor, epochs, rungs):
    config = TrialConfig(loss="db", mu=0.9, epochs=epochs)
    assert spec(grace_period=grace, reduction_factor=factor, config=config).rungs == rungs


def test_rungs_and_data_are_those_of_the_longest_trial():
    searched = change_space(
        space_for("db", mu=0.9), {"epochs": {"low": 3, "high": 9}, "max_length": [64, 128, 32]}
    )
    longest = spec(space=searched).longest
    assert (longest.epochs, longest.max_length) == (9, 128)
    assert spec(space=searched).rungs == (2, 4, 8)
    assert spec().longest == spec().config


def test_the_fingerprint_is_of_what_changes_the_numbers():
    original = spec()
    where = spec(
        name="b",
        runs_dir="/b",
        max_concurrent=1,
        checkpoint_every=3,
        address="h:1",
        tracking_uri="http://h",
    )
    assert where.fingerprint == original.fingerprint
    assert spec(trials=99, time_budget_s=9.0).fingerprint == original.fingerprint
    moved = original.config.replace(data_path="/elsewhere")
    assert spec(config=moved).fingerprint == original.fingerprint
    assert spec(seed=1).fingerprint != original.fingerprint
    assert spec(grace_period=1).fingerprint != original.fingerprint
    assert spec(config=original.config.replace(seed=1)).fingerprint != original.fingerprint


def test_a_trial_has_the_fixed_settings_and_the_sampled_ones():
    config = spec().trial_config({"learning_rate": 3e-5, "gamma": 1.0})
    assert (config.learning_rate, config.gamma, config.epochs, config.mu) == (3e-5, 1.0, 6, 0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "a search name has 1 to 100 letters, digits, '.', '_' or '-'"),
        ({"name": ""}, "a search name has 1 to 100 letters"),
        ({"name": ".hidden"}, "a search name has 1 to 100 letters"),
        ({"runs_dir": "runs"}, "runs_dir must be an absolute path, got 'runs'"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"grace_period": 0}, "grace-period must be at least 1, got 0"),
        ({"reduction_factor": 1}, "reduction-factor must be at least 2, got 1"),
        ({"max_concurrent": 0}, "max-concurrent must be at least 1, got 0"),
        ({"checkpoint_every": -1}, "checkpoint-every must be at least 0, got -1"),
        ({"confirm": -1}, "confirm must be at least 0, got -1"),
        ({"confirm": 1, "seeds": 1}, "seeds must be in 2..100, got 1"),
        ({"confirm": 1, "seeds": 101}, "seeds must be in 2..100, got 101"),
        (
            {"confirm": 1, "config": TrialConfig(loss="db", mu=0.9, seed=2**32 - 2)},
            "setting 'seed' must lie in [0, 4.29497e+09], got 4294967297",
        ),
        ({"cpus_per_trial": 0.0}, "cpus-per-trial must be above 0, got 0"),
        ({"gpus_per_trial": -1.0}, "gpus-per-trial must be at least 0, got -1"),
        ({"gpus_per_trial": 1.5}, "gpus-per-trial above 1 must be a whole number, got 1.5"),
        ({"time_budget_s": 0.0}, "time-budget must be above 0, got 0"),
        ({"cpus_per_trial": float("nan")}, "cpus-per-trial must be above 0, got nan"),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    with pytest.raises(UsageError) as caught:
        spec(**changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"format": "other"}, "must begin with 'format: longtail-search/spec'"),
        ({"version": 3}, "has version 3 of longtail-search/spec, this program reads version 2"),
        ({"trails": 3}, "unknown key 'trails': did you mean 'trials'?"),
        ({"trials": None}, "'trials' must be of type int, got None"),
        ({"trials": "3"}, "'trials' must be of type int, got '3'"),
        ({"config": 3}, "'config' must hold settings, got 3"),
        ({"config": {"loss": "dbb"}}, "unknown loss 'dbb'"),
        ({"space": {"loss": "db"}}, "space: dimensions must be a list, got None"),
    ],
)
def test_an_edit_that_makes_no_sense(edit, message, tmp_path):
    path = tmp_path / SPEC_NAME
    spec().save(path)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **edit}))
    with pytest.raises(UsageError) as caught:
        SearchSpec.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_missing_key_or_file(tmp_path):
    path = tmp_path / SPEC_NAME
    with pytest.raises(UsageError, match="no such file"):
        SearchSpec.load(path)
    spec().save(path)
    values = yaml.safe_load(path.read_text())
    del values["trials"]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match="the key 'trials' is missing"):
        SearchSpec.load(path)
    path.write_text("a: [")
    with pytest.raises(UsageError, match="not valid YAML"):
        SearchSpec.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        SearchSpec.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patience": -1}, "patience must be at least 0, got -1"),
        ({"compute_budget_s": 0.0}, "compute-budget must be above 0, got 0"),
        ({"disk_budget_gib": -1.0}, "disk-budget must be above 0, got -1"),
        ({"sampler": "tpe2"}, "unknown sampler 'tpe2': did you mean 'tpe'?"),
        ({"pareto": True}, "a Pareto front is of two scores, got objective 'micro_f1': say"),
    ],
)
def test_what_a_search_may_spend_and_how_it_proposes(tmp_path, change, message):
    with pytest.raises(UsageError) as caught:
        small_spec(tmp_path, **change)
    assert message in str(caught.value)


def test_the_password_of_the_study_stays_out_of_the_file(tmp_path):
    spec = small_spec(tmp_path, storage="postgresql+psycopg://ann:pw@host/studies")
    spec.save(tmp_path / SPEC_NAME)
    assert "pw" not in (tmp_path / SPEC_NAME).read_text()
    assert SearchSpec.load(tmp_path / SPEC_NAME).storage == "postgresql+psycopg://host/studies"
    assert "pw" not in repr(spec)
