"""A model folder as `python -m trainable BEST.YAML --out MODEL` writes it, of a tiny encoder."""

import dataclasses
import json
from pathlib import Path

from tests.tiny import TINY_LABELS, tiny_dataset, tiny_encoder
from trainable.best import BestConfig
from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.label_stats import label_stats
from trainable.model_folder import save_model_folder
from trainable.retrain import Retrained, retrain
from trainable.tokenization import encode_dataset

HEAD = {"tune": "head", "head_hidden": 24, "learning_rate": 1e-2}
MAX_LENGTH = 24


@dataclasses.dataclass(frozen=True)
class Trained:
    """The folder, and what its training said."""

    folder: Path
    result: Retrained

    @property
    def texts(self) -> list[str]:
        return list(self.result.dataset.test.texts)

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "test_report.json").read_text())


def train_folder(root: Path, *, threshold: float = 0.3, **settings) -> Trained:
    """Train for a few epochs on made-up words, some longer than the model reads."""
    config = TrialConfig(
        dataset="file",
        data_path=str(_write_data(root / "words.jsonl")),
        encoder=str(tiny_encoder(root / "encoder")),
        max_length=MAX_LENGTH,
        loss="db",
        **{"learning_rate": 3e-3, **settings},
        batch_size=8,
        epochs=5,
        precision="fp32",
        num_threads=1,
    )
    dataset = load_dataset(config, cache_dir=root / "cache")
    data = encode_dataset(
        dataset, encoder=config.encoder, max_length=MAX_LENGTH, cache_dir=root / "cache"
    )
    best = BestConfig(
        config=config.replace(mu=label_stats(data.train, data.num_labels).mu_estimate),
        best_epoch=5,
        threshold=threshold,
        validation={"val/objective": 0.9},
        search={"name": "tiny", "trial": 3},
        data_fingerprint=dataset.fingerprint,
        versions={},
    )
    result = retrain(best, cache_dir=root / "cache")
    save_model_folder(result, root / "model")
    return Trained(root / "model", result)


def _write_data(path: Path) -> Path:
    dataset = tiny_dataset(train=80, val=30, test=50)
    with path.open("w") as file:
        for name in ("train", "val", "test"):
            split = dataset.split(name)
            for text, labels in zip(split.texts, split.labels, strict=True):
                names = [TINY_LABELS[label] for label in labels]
                file.write(json.dumps({"text": text, "labels": names, "split": name}) + "\n")
    return path
