"""A trained model as a folder that transformers loads: weights, labels, tokenizer, card.

model.safetensors, config.json    labels, problem type, and the threshold as `threshold`
tokenizer.json ...                cuts at the trained length when asked to truncate
best.yaml                         trains it again
test_report.json                  the scores on the test documents
test_predictions.npz              what was predicted for them, to compare models by
README.md                         the model card
head_model.py, head_layers.py     tune=head: the code of the model
"""

import copy
import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedModel

from trainable import head_layers, head_model
from trainable.encoders import resolve_encoder
from trainable.errors import UsageError, UserError
from trainable.head import with_encoder
from trainable.model import PristineWeights
from trainable.model_card import model_card
from trainable.predictions import PREDICTIONS_FILE
from trainable.retrain import Retrained
from trainable.weights import save_tensors


def check_new_folder(out: Path) -> None:
    """Check that the folder `out` can be made, before hours are spent on what goes into it.

    Raises:
        UsageError: it holds something, is a file, or its parent cannot be written.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"--out {out} exists and is not an empty folder: name another one")
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise UsageError(f"--out {out} cannot be used: {error.strerror}") from None
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out} cannot be made: {parent} is not a folder you can write to")


def save_model_folder(result: Retrained, out: Path) -> None:
    """Write the model folder, whole or not at all.

    Raises:
        UsageError: `out` holds something (see `check_new_folder`).
        UserError: it cannot be written, for example because the disk is full.
    """
    check_new_folder(out)
    out = out.absolute()
    unfinished: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        _write(result, unfinished, out.name)
        unfinished.chmod(0o755)  # mkdtemp makes folders for one user alone
        unfinished.replace(out)  # over an empty folder, never over one that holds something
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error}") from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write(result: Retrained, folder: Path, name: str) -> None:
    settings = result.best.config
    model = _whole_model(result)
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.threshold = result.best.threshold
    config.dataset = result.dataset.name
    if settings.tune == "head":
        code = Path(head_model.__file__)
        layers = Path(head_layers.__file__)
        config.auto_map = {
            "AutoConfig": f"{code.stem}.{head_model.HeadConfig.__name__}",
            "AutoModelForSequenceClassification": f"{code.stem}.{head_model.HeadModel.__name__}",
        }
        for path in (code, layers):
            shutil.copyfile(path, folder / path.name)
    config.save_pretrained(folder)
    save_tensors(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    tokenizer = AutoTokenizer.from_pretrained(
        resolve_encoder(settings.encoder), local_files_only=True
    )
    tokenizer.model_max_length = settings.max_length
    tokenizer.save_pretrained(folder)
    # a folder of models travels further than the data: `--data` says where they lie
    best = dataclasses.replace(result.best, config=settings.replace(data_path=None))
    best.save(folder / "best.yaml")
    report = json.dumps(result.report, indent=2, ensure_ascii=False) + "\n"
    (folder / "test_report.json").write_text(report, encoding="utf-8")
    if result.predictions is not None:
        result.predictions.save(folder / PREDICTIONS_FILE)
    (folder / "README.md").write_text(model_card(result, name), encoding="utf-8")


def _whole_model(result: Retrained) -> PreTrainedModel:
    if isinstance(result.model, head_layers.Head):
        config, names = result.best.config, result.dataset.label_names
        return with_encoder(result.model, config, PristineWeights.load(config.encoder), names)
    assert isinstance(result.model, PreTrainedModel)
    return result.model
