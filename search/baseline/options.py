"""The options of `python -m search baseline`. Imports nothing heavy."""

from typing import Any, Final

from search.option_values import whole

KINDS: Final = ("svm",)


def add_baseline(commands: Any) -> None:
    """Add the command to the parser of all commands."""
    baseline = commands.add_parser(
        "baseline",
        help="train a simple model to compare with",
        description="Train a simple model on the same documents as a search, score it on test, and "
        "keep it beside the searches. svm: TF-IDF and a linear SVM for each label, as published.",
    )
    baseline.add_argument("kind", metavar="KIND", help="svm")
    baseline.add_argument("--dataset", help="reuters, demo or file (default: reuters)")
    baseline.add_argument("--data", metavar="PATH", help="where the dataset lies, or your own file")
    baseline.add_argument("--split-seed", type=whole, metavar="N", help="of train and validation")
    baseline.add_argument("--max-train-docs", type=whole, metavar="N", help="thin the training set")
    baseline.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fix any setting of the data; repeatable",
    )
    baseline.add_argument("--json", action="store_true", help="end with one line of JSON")
    baseline.add_argument("--runs-dir", default="runs", metavar="DIR", help="default: ./runs")
    baseline.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow (default: in the runs folder)"
    )
