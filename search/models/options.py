"""The options of `python -m search register`; as light as `search.options`."""

from typing import Any

from search.option_groups import add_runs_dir


def add_register(commands: Any) -> None:
    """Add the command to the parser of all commands."""
    register = commands.add_parser(
        "register",
        help="register a trained model in MLflow",
        description="Register a trained model folder in MLflow, as a version of a named model that "
        "`mlflow models serve` answers with. The same folder makes one version, however often.",
    )
    register.add_argument(
        "model", metavar="MODEL", help="folder of python -m trainable BEST.YAML --out MODEL"
    )
    register.add_argument("--name", help="of the registered model (default: longtail-DATASET-LOSS)")
    register.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow (default: in the runs folder)"
    )
    add_runs_dir(register)
