"""A head-mode configuration from best.yaml to a folder that transformers loads."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.tiny import tiny_encoder
from tests.trainable.test_retrain import EPOCHS, trained, write_data
from trainable.config import OBJECTIVE, TrialConfig
from trainable.model_folder import save_model_folder
from trainable.retrain import retrain


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The trial's session, what retraining made of it, and the folder."""
    folder = tmp_path_factory.mktemp("head")
    config = TrialConfig(
        dataset="file",
        data_path=str(write_data(folder / "words.jsonl")),
        encoder=str(tiny_encoder(folder / "encoder")),
        max_length=32,
        tune="head",
        head_hidden=24,
        learning_rate=1e-2,
        batch_size=8,
        epochs=EPOCHS,
        precision="fp32",
        num_threads=1,
    )
    cache = folder / "cache"
    session, best = trained(config, cache)
    result = retrain(best, cache_dir=cache)
    save_model_folder(result, folder / "model")
    return session, result, folder / "model"


def test_it_repeats_the_trial(made):
    session, result, _ = made
    assert result.repeats_trial
    assert result.validation[OBJECTIVE] == session.evaluate("val")[OBJECTIVE]


def test_transformers_gives_the_probabilities_of_the_session(made):
    session, result, folder = made
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = list(result.dataset.test.texts)
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = torch.sigmoid(model(**batch).logits)
    expected = torch.cat([probs for probs, _ in session.probabilities("test")])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert model.config.threshold == result.best.threshold
    assert model.config.id2label[0] == result.dataset.label_names[0]


def test_the_cards_example(made):
    _, result, folder = made
    card = (folder / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    classify = pipeline(
        "text-classification",
        model=str(folder),
        top_k=None,
        function_to_apply="sigmoid",
        trust_remote_code=True,
    )
    [scores] = classify([result.dataset.test.texts[0]], truncation=True)
    assert {score["label"] for score in scores} == set(result.dataset.label_names)
    assert "trust_remote_code=True" in code
    compile(code, "card", "exec")
    assert "frozen, with a head (one hidden layer of 24)" in card


def test_without_trust_it_is_refused_rather_than_loaded_wrongly(made):
    _, _, folder = made
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)


def test_train_and_val_together(made):
    session, result, folder = made
    both = retrain(result.best, train_on="train+val", cache_dir=folder.parent / "cache")
    assert both.num_train_docs == len(session.data.train) + len(session.data.val)
    assert both.validation is None
    assert 0 <= both.report["micro_f1"] <= 1
