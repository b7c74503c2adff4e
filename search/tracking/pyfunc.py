"""A model folder as an MLflow model: models-from-code, safetensors, no pickle.

What is written holds the code of `trainable`, the model folder and nothing of this machine.
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trainable
from search.models.facts import ModelFacts, requirements

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_EXAMPLE: Final = ("Wheat exports rose in May.",)
_CODE: Final = Path(__file__).with_name("served_model.py")


def save_pyfunc(facts: ModelFacts, path: Path, model: Any = None) -> None:
    """Write the model as MLflow loads it.

    Args:
        facts: of the folder.
        path: new folder.
        model: an `mlflow.models.Model` that knows of its run; None: one that knows of none.
    """
    import mlflow.pyfunc
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        # MLflow writes these paths into the model: none of them is to tell of this machine
        stage = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__")
        for source, name in (
            (Path(trainable.__file__).parent, "trainable"),
            (facts.folder, "model"),
        ):
            shutil.copytree(source, stage / name, ignore=ignored)
        shutil.copyfile(_CODE, stage / _CODE.name)
        mlflow.pyfunc.save_model(
            path,
            mlflow_model=model,
            python_model=str(stage / _CODE.name),
            artifacts={"model": str(stage / "model")},
            code_paths=[str(stage / "trainable")],
            signature=_signature(),
            input_example=pd.DataFrame({"text": _EXAMPLE}),
            pip_requirements=requirements(),
            metadata=_metadata(facts),
        )


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema(
            [
                ColSpec(Array(DataType.string), "predicted"),
                ColSpec(Array(DataType.double), "probabilities"),
            ]
        ),
        params=ParamSchema(
            [ParamSpec("threshold", DataType.double, None), ParamSpec("top", DataType.long, None)]
        ),
    )


def _metadata(facts: ModelFacts) -> dict[str, Any]:
    """In the file `MLmodel`, for whoever has that alone."""
    threshold = facts.threshold
    return {
        "threshold" if isinstance(threshold, float) else "thresholds": threshold,
        "labels": list(facts.label_names),
        "dataset": facts.dataset,
        "data_fingerprint": facts.best.data_fingerprint,
        "search": dict(facts.best.search),
        "model_digest": facts.digest,
    }
