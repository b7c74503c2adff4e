"""The README.md of a model folder: what the model is, how good, and how to use it."""

from pathlib import Path
from typing import Any, Final

from trainable.config import OBJECTIVE
from trainable.datasets.records import GROUPS
from trainable.objectives import objective_words
from trainable.retrain import Retrained

_SUBSETS: Final = (("single_label", "one label"), ("multi_label", "several labels"))

_USE: Final = """```python
from transformers import pipeline

classify = pipeline(
    "text-classification", model="{folder}", top_k=None, function_to_apply="sigmoid"
)
threshold = classify.model.config.threshold
for scores in classify(["A text to classify."], truncation=True):
    print([score["label"] for score in scores if score["score"] >= threshold])
```"""

_REUTERS_LICENCE: Final = (
    "Reuters-21578 is distributed for research use; the copyright of its texts stays with Reuters."
)


def model_card(result: Retrained, folder: str) -> str:
    """Markdown for the model in `result`; `folder` is the name that the example loads."""
    parts = (
        _head(result),
        "## Use",
        f"From the folder that holds `{folder}`:",
        _use(result, folder),
        "A document gets every label whose probability is at least "
        f"{result.best.threshold:g}; it may get none.",
        "## Scores",
        _scores(result.report),
        _validation(result),
        "`test_report.json` has every label and the scores at other thresholds.",
        "## Training",
        _training(result),
        "## Licence",
        _licence(result),
    )
    return "\n\n".join(parts) + "\n"


def _head(result: Retrained) -> str:
    config, dataset = result.best.config, result.dataset
    front = "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---"
    return (
        f"{front}\n\n# {config.loss} on {dataset.name}\n\n"
        f"Multi-label text classification with {len(dataset.label_names)} labels: the encoder "
        f"`{_encoder(result)}` {_head_words(result)}, trained with the loss `{config.loss}` of "
        "Huang et al. 2021. Its hyperparameters were chosen on validation by a search; the test "
        "documents had no part in any choice."
    )


def _head_words(result: Retrained) -> str:
    config = result.best.config
    if config.tune != "head":
        return "with one linear layer"
    hidden = (
        f"one hidden layer of {config.head_hidden}" if config.head_hidden else "no hidden layer"
    )
    return f"frozen, with a head ({hidden}) on its [CLS] and mean states"


def _use(result: Retrained, folder: str) -> str:
    text = _USE.format(folder=folder)
    if result.best.config.tune != "head":
        return text
    line = 'function_to_apply="sigmoid"'
    trusting = text.replace(line, f"{line},\n    trust_remote_code=True")
    return f"{trusting}\n\n`trust_remote_code` runs the folder's `head_model.py`: read it first."


def _scores(report: Any) -> str:
    rows = [("all documents and labels", report["num_docs"], report)]
    rows += [(f"{group} labels", "", report[group]) for group in GROUPS if group in report]
    rows += [
        (f"documents with {words}", report[name]["num_docs"], report[name])
        for name, words in _SUBSETS
        if name in report
    ]
    lines = [
        f"| {name} | {count} | {100 * scores['micro_f1']:.2f} | {100 * scores['macro_f1']:.2f} |"
        for name, count, scores in rows
    ]
    return "\n".join(
        [
            f"Test documents, threshold {report['threshold']:g}, per cent:",
            "",
            "| | documents | micro-F1 | macro-F1 |",
            "|---|---|---|---|",
            *lines,
        ]
    )


def _validation(result: Retrained) -> str:
    theirs = f"{100 * result.best.objective:.2f}"
    score = objective_words(result.best.config.objective)
    if result.validation is None:
        return (
            "Trained on training and validation documents together: no validation score exists, "
            "and the threshold is the one that the search chose when it trained on the training "
            f"documents alone (validation {score} there: {theirs})."
        )
    ours = f"{100 * result.validation[OBJECTIVE]:.2f}"
    return f"Validation {score}: {ours}; of the trial in the search: {theirs}."


def _training(result: Retrained) -> str:
    config, dataset = result.best.config, result.dataset
    shown = {**config.to_mapping(), "encoder": _encoder(result)}
    shown.pop("data_path", None)
    settings = "\n".join(f"| `{name}` | {_cell(value)} |" for name, value in shown.items())
    return (
        f"{result.num_train_docs} documents ({result.train_on}) of {dataset.name}, labels grouped "
        f"by {dataset.group_rule}; {result.best.best_epoch} epochs on {result.device} in "
        f"{result.precision}. `best.yaml` repeats it: `python -m trainable best.yaml --out MODEL`."
        f"\n\n| setting | value |\n|---|---|\n{settings}"
    )


def _licence(result: Retrained) -> str:
    config = result.best.config
    lines = [
        f"The weights derive from `{_encoder(result)}` and from the training data: "
        "the licences of both apply to them."
    ]
    if config.dataset == "reuters":
        lines.append(_REUTERS_LICENCE)
    if config.dataset == "demo":
        lines.append("The demo documents are synthetic: this model knows nothing of real news.")
    return " ".join(lines)


def _encoder(result: Retrained) -> str:
    """The encoder's name; of a folder the last part, as cards travel further than folders."""
    name = result.best.config.encoder
    return Path(name).name if Path(name).is_absolute() else name


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
