"""What the user said wins over the preset, and two words that disagree are an error."""

import time

import pytest

from search.hardware import Hardware
from search.presets import PRESETS
from search.request import RunRequest
from search.resolve import CLUSTER_CONCURRENCY, data_config, default_name, name_of, resolve
from trainable.config import TrialConfig
from trainable.errors import UsageError

HERE = Hardware(cpus=2, memory_gib=16.0, gpus=0)


def spec_of(**said):
    return resolve(RunRequest(**said), HERE, mu=0.9)


def refused(**said) -> str:
    with pytest.raises(UsageError) as caught:
        spec_of(**said)
    return str(caught.value)


def test_options_win_over_the_preset():
    spec = spec_of(preset="cpu", epochs=3, trials=5, grace_period=2, settings=("max_length=64",))
    assert (spec.config.epochs, spec.trials, spec.grace_period) == (3, 5, 2)
    assert (spec.config.max_length, spec.config.encoder) == (64, "minilm")


def test_a_fixed_setting_is_not_searched():
    spec = spec_of(loss="fl", settings=("gamma=1.5",))
    assert spec.space.names == ("learning_rate",)
    assert spec.trial_config({"learning_rate": 3e-5}).gamma == 1.5


def test_mu_is_explicit_and_the_spaces_centre():
    spec = resolve(RunRequest(loss="db"), HERE, mu=0.2)
    assert spec.config.mu == 0.2
    mu = next(d for d in spec.space.dimensions if d.name == "mu")
    assert mu.paper == 0.2
    fixed = resolve(RunRequest(loss="db", settings=("mu=0.7",)), HERE, mu=0.2)
    assert fixed.config.mu == 0.7
    assert "mu" not in fixed.space.names
    assert resolve(RunRequest(loss="bce"), HERE, mu=0.2).config.mu is None


def test_trial_0_has_the_papers_values():
    spec = spec_of(loss="db")
    config = spec.config
    assert (config.gamma, config.alpha, config.beta, config.kappa, config.lambda_) == (
        (2.0, 0.1, 10.0, 0.05, 2.0)
    )
    assert spec.trial_config(spec.space.paper_point()) == config


def test_a_range_without_the_papers_value(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 1e-5, high: 5e-5}\n")
    spec = spec_of(space=str(path))
    assert spec.config.learning_rate == 5e-5  # the nearest one: what trial 0 will have
    assert spec.space.without_paper_value == ("learning_rate",)


def test_retraining_has_the_trials_threads():
    assert spec_of().config.num_threads == 1
    assert spec_of(cpus_per_trial=2.0).config.num_threads == 2
    assert spec_of(settings=("num_threads=3",)).config.num_threads == 3


def test_one_seed_for_sampler_and_training():
    spec = spec_of(seed=7)
    assert (spec.seed, spec.config.seed) == (7, 7)
    assert spec_of(settings=("seed=8",)).seed == 8


def test_the_grace_period_shrinks_with_the_epochs():
    assert spec_of(preset="cpu-full", epochs=2).rungs == (1,)
    assert spec_of(preset="cpu-full", epochs=6).grace_period == 2


def test_head_mode_starts_and_searches_at_higher_learning_rates():
    head, full = spec_of(tune="head", preset="paper"), spec_of(tune="all", preset="paper")
    assert (head.config.tune, head.config.head_hidden) == ("head", 512)
    rates = [(s.config.learning_rate, s.space.dimensions[0]) for s in (head, full)]
    assert [(rate, d.low, d.high) for rate, d in rates] == [
        (1e-3, 1e-4, 1e-2),
        (1e-4, 1e-5, 1e-3),
    ]
    assert head.space.names == full.space.names
    assert spec_of(tune="head", settings=("head_hidden=0", "learning_rate=0.02")).config == (
        spec_of(settings=("tune=head", "learning_rate=0.02", "head_hidden=0")).config
    )


@pytest.mark.parametrize("name", ["max_length", "attention_dropout"])
def test_what_a_frozen_encoder_fixes_cannot_be_searched(tmp_path, name):
    path = tmp_path / "space.yaml"
    path.write_text(
        f"{name}: {{low: 0.1, high: 0.2}}\n".replace(
            "low: 0.1, high: 0.2",
            "low: 8, high: 64" if name == "max_length" else "low: 0, high: 0.5",
        )
    )
    message = refused(tune="head", space=str(path))
    assert message == (
        f"setting '{name}' cannot be searched with tune=head: the encoder is frozen; take it out "
        "of the space, or use --tune all"
    )
    assert name in spec_of(tune="all", space=str(path)).space.names


def test_own_data_need_no_dataset(tmp_path):
    config = spec_of(data=str(tmp_path / "my news.jsonl")).config
    assert (config.dataset, config.data_path) == ("file", str(tmp_path / "my news.jsonl"))
    assert spec_of(data="reuters.tar.gz").config.dataset == "reuters"
    assert spec_of(dataset="file", data="odd.txt").config.dataset == "file"


def test_default_names():
    now = time.strptime("2024-05-06 07:08:09", "%Y-%m-%d %H:%M:%S")
    assert default_name(TrialConfig(), now, "cb-ntr") == "cb-ntr-reuters-20240506-070809"
    own = TrialConfig(dataset="file", data_path="/a/my news (1).jsonl")
    assert default_name(own, now, "bce") == "bce-my-news-1--20240506-070809"


def test_a_relative_runs_folder_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert spec_of(runs_dir="runs").runs_dir == str(tmp_path / "runs")


def test_an_encoder_folder_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").mkdir()
    assert spec_of(encoder="bert").config.encoder == str(tmp_path / "bert")
    assert spec_of(encoder="bert-base-cased").config.encoder == "bert-base-cased"


def test_a_cluster_is_not_limited_by_this_machine():
    spec = spec_of(address="head:6379", trials=50)
    assert (spec.max_concurrent, spec.cpus_per_trial) == (CLUSTER_CONCURRENCY, 1.0)
    assert spec_of(address="head:6379", max_concurrent=40).max_concurrent == 40


def test_checkpoints_where_they_cost_next_to_nothing():
    """By default, where a CPU trains a whole encoder; not in `smoke`, which takes minutes."""
    for preset in PRESETS:
        for tune in ("head", "all"):
            for gpus in (0.0, 0.5, 1.0):
                said = {"preset": preset, "tune": tune, "gpus_per_trial": gpus}
                each_epoch = tune == "all" and gpus == 0 and preset != "smoke"
                assert spec_of(**said).checkpoint_every == int(each_epoch)
                assert spec_of(**said, checkpoint_every=5).checkpoint_every == 5
    assert spec_of(preset="cpu", tune="all", checkpoint_every=0).checkpoint_every == 0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"dataset": "demo", "data": "x"}, "dataset 'demo' is made by the program: leave --data"),
        ({"preset": "smok"}, "unknown preset 'smok': did you mean 'smoke'?"),
        ({"epochs": 0}, "setting 'epochs' must lie in [1, 10000], got 0"),
        ({"epochs": 3, "settings": ("epochs=4",)}, "--epochs 3 and --set epochs=4 disagree: give"),
        ({"seed": 3, "settings": ("seed=4",)}, "--seed 3 and --set seed=4 disagree"),
        ({"settings": ("gamma=1", "gamma=2")}, "--set gamma is given twice: keep one"),
        ({"settings": ("batch_size=x",)}, "setting 'batch_size' must be of type int, got 'x'"),
        ({"max_train_docs": 0}, "setting 'max_train_docs' must lie in [1, inf), got 0"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"cpus_per_trial": 0.0}, "cpus-per-trial must be above 0, got 0"),
        ({"gpus_per_trial": -1.0}, "gpus-per-trial must be at least 0, got -1"),
        ({"max_concurrent": 0}, "max-concurrent must be at least 1, got 0"),
        ({"seed": -1}, "setting 'seed' must lie in [0, 4.29497e+09], got -1"),
        ({"name": "a/b"}, "a search name has 1 to 100 letters, digits"),
    ],
)
def test_refused(said, message):
    assert refused(**said).startswith(message)


def test_the_same_word_twice_is_no_contradiction():
    assert spec_of(epochs=3, settings=("epochs=3",)).config.epochs == 3


def test_a_setting_both_fixed_and_searched(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("gamma: [1.0, 2.0]\n")
    message = refused(space=str(path), settings=("gamma=1",))
    assert message.startswith(f"'gamma' is fixed by an option and searched by --space {path}")


def test_a_dataset_to_describe():
    config = data_config("reuters", hardware=HERE, split_seed=5)
    assert (config.dataset, config.encoder, config.max_length) == ("reuters", "minilm", 512)
    assert config.split_seed == 5
    own = data_config("x.csv", hardware=HERE, settings=("text_column=body",))
    assert (own.dataset, own.text_column) == ("file", "body")


def test_a_relative_database_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = spec_of(tracking_uri="sqlite:///mine.db")
    assert spec.tracking_uri == f"sqlite:///{tmp_path}/mine.db"
    other = "http://host:5000/sqlite"
    assert spec_of(tracking_uri=other).tracking_uri == other


def test_what_is_searched_for(tmp_path):
    point = tmp_path / "p.yaml"
    point.write_text("gamma: 1.0\n")

    def spec(**options):
        return resolve(RunRequest(loss="db", dataset="demo", **options), HERE, mu=0.9)

    assert (spec().config.objective, spec().pareto, spec().sampler) == ("micro_f1", False, "tpe")
    both = spec(objective="micro_f1,tail_micro_f1")
    assert (both.config.objective, both.pareto_scores) == (
        "micro_f1+tail_micro_f1",
        ("micro_f1", "tail_micro_f1"),
    )
    assert not spec(objective="micro_f1+macro_f1").pareto
    assert spec(points=(str(point),) * 2).points == ({"gamma": 1.0},) * 2
    budgets = spec(compute_budget=3600.0, disk_budget=2.0, patience=8)
    assert (budgets.compute_budget_s, budgets.disk_budget_gib, budgets.patience) == (3600.0, 2.0, 8)
    assert budgets.fingerprint == spec().fingerprint  # they change no trial's numbers
    assert both.fingerprint != spec().fingerprint


def test_both_ways_to_name_the_objective_must_agree():
    request = RunRequest(objective="micro_f1", settings=("objective=macro_f1",))
    with pytest.raises(UsageError, match="--objective micro_f1 and --set objective=macro_f1"):
        resolve(request, HERE)


def test_what_is_confirmed_does_not_change_the_trials():
    plain, confirmed = spec_of(loss="db"), spec_of(loss="db", confirm=2, seeds=5)
    assert (plain.confirm, plain.seeds) == (0, 3)
    assert (confirmed.confirm, confirmed.seeds) == (2, 5)
    assert confirmed.fingerprint == plain.fingerprint


@pytest.mark.parametrize("confirm", [None, 0])
def test_seeds_for_nothing(confirm):
    assert refused(loss="db", confirm=confirm, seeds=5) == (
        "--seeds is for --confirm K: say how many configurations to confirm"
    )


def test_a_name_does_not_depend_on_the_hardware(tmp_path):
    """A supervisor names its search before anybody knows of GPUs: a head could not search this."""
    space = tmp_path / "space.yaml"
    space.write_text("attention_dropout: {low: 0.0, high: 0.2}\n")
    request = RunRequest(loss="cb", dataset="demo", space=str(space))
    with pytest.raises(UsageError, match="cannot be searched with tune=head"):
        resolve(request, HERE)
    assert name_of(request).startswith("cb-demo-20")
    assert name_of(RunRequest(data=str(tmp_path / "my data.csv"))).startswith("db-my-data-20")
    assert name_of(RunRequest(name="mine")) == "mine"
    with pytest.raises(UsageError, match="a search name has 1 to 100 letters"):
        name_of(RunRequest(name="../x"))
