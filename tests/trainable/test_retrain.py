"""From best.yaml to a model folder, without Ray, on a tiny encoder and a file of made-up words."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.tiny import tiny_dataset, tiny_encoded, tiny_encoder
from trainable.best import BestConfig
from trainable.cli import main
from trainable.config import OBJECTIVE, TrialConfig
from trainable.datasets import load_dataset
from trainable.divergence import DivergedError
from trainable.errors import UsageError, UserError
from trainable.features import with_features
from trainable.label_stats import label_stats
from trainable.loop import TrainingSession
from trainable.predictions import Predictions
from trainable.retrain import Retrained, merge_train_and_val, retrain
from trainable.tokenization import encode_dataset

EPOCHS, BEST_EPOCH = 6, 4


def write_data(path):
    dataset = tiny_dataset(train=80, val=30, test=30)
    with path.open("w") as file:
        for name in ("train", "val", "test"):
            split = dataset.split(name)
            for text, labels in zip(split.texts, split.labels, strict=True):
                names = [dataset.label_names[label] for label in labels]
                file.write(json.dumps({"text": text, "labels": names, "split": name}) + "\n")
    return path


@dataclasses.dataclass
class Trial:
    """A trial as a search would have run it."""

    best: BestConfig
    cache: object
    probs: np.ndarray
    targets: np.ndarray


def trained(config, cache):
    """A session after its best epoch, and what a search would have exported of it."""
    dataset = load_dataset(config, cache_dir=cache)
    data = encode_dataset(
        dataset, encoder=config.encoder, max_length=config.max_length, cache_dir=cache
    )
    config = config.replace(mu=label_stats(data.train, data.num_labels).mu_estimate)
    if config.tune == "head":
        data = with_features(data, config, cache_dir=cache)
    session = TrainingSession(config, data)
    for _ in range(BEST_EPOCH):
        metrics = session.run_epoch()
    best = BestConfig(
        config=config,
        best_epoch=BEST_EPOCH,
        threshold=metrics["val/threshold"],
        validation={name: value for name, value in metrics.items() if name.startswith("val/")},
        search={"name": "tiny"},
        data_fingerprint=dataset.fingerprint,
        versions={},
    )
    return session, best


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    config = TrialConfig(
        dataset="file",
        data_path=str(write_data(folder / "words.jsonl")),
        encoder=str(tiny_encoder(folder / "encoder")),
        max_length=32,
        loss="db",
        learning_rate=3e-3,
        batch_size=8,
        epochs=EPOCHS,
        lr_schedule="linear",
        warmup_fraction=0.1,
        precision="fp32",
        num_threads=1,
        seed=5,
    )
    session, best = trained(config, folder / "cache")
    probs, targets = zip(*session.probabilities("test"), strict=True)
    return Trial(best, folder / "cache", torch.cat(probs).numpy(), torch.cat(targets).numpy())


@pytest.fixture(scope="module")
def made(trial, tmp_path_factory):
    """The model folder of the command line, and what the command printed."""
    folder = tmp_path_factory.mktemp("made")
    trial.best.save(folder / "best.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_CACHE", str(trial.cache))
        code = main([str(folder / "best.yaml"), "--out", str(folder / "deep" / "model")])
    assert code == 0
    return folder / "deep" / "model"


def test_the_trial_comes_out_again(trial):
    epochs = []
    result = retrain(trial.best, cache_dir=trial.cache, on_epoch=epochs.append)
    assert [metrics["epoch"] for metrics in epochs] == [1, 2, 3, 4]
    assert result.validation[OBJECTIVE] == trial.best.objective
    assert result.repeats_trial is True
    preds = trial.probs >= np.float32(trial.best.threshold)
    hits = (preds & trial.targets).sum()
    expected = 2 * hits / (preds.sum() + trial.targets.sum())
    assert result.report["micro_f1"] == pytest.approx(expected)
    assert result.report["threshold"] == trial.best.threshold
    assert expected > 0.4  # it has learnt something


def test_another_trial_is_told_apart(trial):
    other = dataclasses.replace(trial.best, config=trial.best.config.replace(seed=6))
    result = retrain(other, cache_dir=trial.cache)
    assert result.repeats_trial is False


def test_train_and_val_together(trial):
    result = retrain(trial.best, train_on="train+val", cache_dir=trial.cache)
    assert result.num_train_docs == 110
    assert result.validation is None
    assert result.repeats_trial is None
    assert result.report["threshold"] == trial.best.threshold


def test_merging_keeps_every_document():
    data = tiny_encoded(train=12, val=5)
    merged = merge_train_and_val(data)
    assert (len(merged.train), len(merged.val), len(merged.test)) == (17, 0, len(data.test))
    assert merged.fingerprint != data.fingerprint

    def documents(split):
        return [
            (
                split.token_ids[split.token_offsets[n] : split.token_offsets[n + 1]].tolist(),
                split.label_ids[split.label_offsets[n] : split.label_offsets[n + 1]].tolist(),
            )
            for n in range(len(split))
        ]

    assert documents(merged.train) == documents(data.train) + documents(data.val)


def test_other_data_are_refused(trial, tmp_path):
    path = write_data(tmp_path / "words.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0].replace('"w', '"w9 w', 1), *lines[1:]]))
    with pytest.raises(UsageError) as caught:
        retrain(trial.best, data_path=path, cache_dir=trial.cache)
    message = str(caught.value)
    assert message.startswith(f"the data in {path} are not those of the search: fingerprint ")
    assert f"expected {trial.best.data_fingerprint[:12]}; give the original data" in message


def test_moved_data_are_found(trial, tmp_path, monkeypatch):
    write_data(tmp_path / "moved.jsonl")
    best = dataclasses.replace(
        trial.best,
        config=trial.best.config.replace(data_path="/nowhere/words.jsonl"),
        best_epoch=1,
    )
    monkeypatch.chdir(tmp_path)
    result = retrain(best, data_path=type(tmp_path)("moved.jsonl"), cache_dir=trial.cache)
    assert isinstance(result, Retrained)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            DivergedError(12, "the loss"),
            "the training diverged: the loss is not finite at step 12; export another trial",
        ),
        (MemoryError(), "memory ran out: close other programs, or use a larger machine or GPU"),
    ],
)
def test_a_training_that_fails_is_one_line(trial, monkeypatch, failure, message):
    def run_epoch(_session):
        raise failure

    monkeypatch.setattr(TrainingSession, "run_epoch", run_epoch)
    with pytest.raises(UserError) as caught:
        retrain(trial.best, cache_dir=trial.cache)
    assert str(caught.value) == message


def test_unknown_train_on(trial):
    with pytest.raises(UsageError) as caught:
        retrain(trial.best, train_on="trian")
    assert str(caught.value) == (
        "unknown choice of --train-on 'trian': did you mean 'train'? Allowed: train, train+val"
    )


def test_the_folder_holds_what_it_should(made, trial):
    assert {path.name for path in made.iterdir()} >= {
        "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "best.yaml",
        "test_report.json", "test_predictions.npz", "README.md",
    }  # fmt: skip
    assert [path.name for path in made.parent.iterdir()] == ["model"]  # nothing half-made beside
    config = json.loads((made / "config.json").read_text())
    assert config["id2label"] == {"0": "big", "1": "good", "2": "mean", "3": "rare", "4": "seldom"}
    assert config["problem_type"] == "multi_label_classification"
    assert config["threshold"] == trial.best.threshold
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert trial.best.config.data_path not in (made / "best.yaml").read_text()
    config = trial.best.config.replace(data_path=None)
    assert BestConfig.load(made / "best.yaml") == dataclasses.replace(trial.best, config=config)
    report = json.loads((made / "test_report.json").read_text())
    assert report["num_docs"] == 30
    kept = Predictions.load(made / "test_predictions.npz")
    assert kept.documents == tuple(load_dataset(trial.best.config, cache_dir=trial.cache).test.ids)
    preds, true = (sets.matrix(5).toarray() for sets in (kept.predicted, kept.true))
    assert report["micro_f1"] == pytest.approx(f1_score(true, preds, average="micro"), abs=1e-12)
    low, high = report["intervals"]["total"]["micro_f1"]
    assert low < report["micro_f1"] < high


def test_transformers_loads_it_and_predicts_the_same(made, trial):
    texts = list(load_dataset(trial.best.config, cache_dir=trial.cache).test.texts)
    classify = pipeline("text-classification", model=str(made), top_k=None)
    found = np.array(
        [
            [scores[name] for name in ("big", "good", "mean", "rare", "seldom")]
            for scores in (
                {row["label"]: row["score"] for row in rows}
                for rows in classify(texts, truncation=True)
            )
        ]
    )
    np.testing.assert_allclose(found, trial.probs, atol=1e-5)

    model = AutoModelForSequenceClassification.from_pretrained(made)
    tokenizer = AutoTokenizer.from_pretrained(made)
    assert tokenizer.model_max_length == 32
    assert len(tokenizer("w1 " * 90, truncation=True)["input_ids"]) == 32
    batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        probs = torch.sigmoid(model.eval()(**batch).logits)
    np.testing.assert_allclose(probs.numpy(), trial.probs, atol=1e-5)


def test_the_example_of_the_card_runs(made, trial, monkeypatch, capsys):
    card = (made / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL).group(1)
    texts = list(load_dataset(trial.best.config, cache_dir=trial.cache).test.texts)
    assert '["A text to classify."]' in code
    monkeypatch.chdir(made.parent)
    exec(
        compile(code.replace('["A text to classify."]', "texts"), "card", "exec"), {"texts": texts}
    )
    names = ("big", "good", "mean", "rare", "seldom")
    lines = capsys.readouterr().out.splitlines()
    preds = trial.probs >= np.float32(trial.best.threshold)
    assert [sorted(yaml.safe_load(line)) for line in lines] == [
        sorted(names[label] for label in np.flatnonzero(row)) for row in preds
    ]


def test_the_card_says_what_it_is(made, trial):
    card = (made / "README.md").read_text()
    report = json.loads((made / "test_report.json").read_text())
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# db on words" in card
    micro, macro = 100 * report["micro_f1"], 100 * report["macro_f1"]
    assert f"| all documents and labels | 30 | {micro:.2f} | {macro:.2f} |" in card
    assert f"| `mu` | {trial.best.config.mu} |" in card
    assert f"Validation micro-F1: {100 * trial.best.objective:.2f}; of the trial" in card
    assert "the licences of both apply" in card
    assert str(made.parents[1]) not in card  # no paths of this machine
    assert str(trial.best.config.data_path) not in card
