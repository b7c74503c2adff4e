"""The code of a registered model, as MLflow logs it: it runs this file to load one.

No pickle: MLflow's models-from-code. `trainable` lies beside it as `code/trainable`, which is what
answers here as it does in `python -m trainable predict`; the model folder is the artifact `model`.

Importing this file tells MLflow of the class: that is how models-from-code works, and the one
module here with such an effect. Nobody but MLflow imports it.
"""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

TEXT: Final = "text"
PREDICTED: Final = "predicted"
PROBABILITIES: Final = "probabilities"


class TextLabels(PythonModel):
    """Texts in, names of labels and their probabilities out; the most probable first."""

    def load_context(self, context: Any) -> None:
        """Read the model folder; runs and unpickles nothing of it."""
        from trainable.inference import Predictor

        self._predictor = Predictor.load(context.artifacts["model"])

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Labels of each row of `model_input`, a table with a column `text`.

        Args:
            context: of MLflow.
            model_input: of any number of rows.
            params: `threshold` and `top`, as `trainable.choice.Choice` takes them; either may be
                None.

        Raises:
            MlflowException: a parameter out of range, or a text that is none; HTTP status 400.
        """
        from trainable.choice import Choice
        from trainable.errors import UserError

        texts = [str(text) for text in model_input[TEXT]]
        if model_input[TEXT].isna().any():
            raise MlflowException.invalid_parameter_value(f"'{TEXT}' must be text in every row")
        told = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            choice = Choice(**told)
            found = self._predictor.labels(self._predictor.probabilities(texts), choice)
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame(
            {
                PREDICTED: [[name for name, _ in labels] for labels in found],
                PROBABILITIES: [[prob for _, prob in labels] for labels in found],
            }
        )


set_model(TextLabels())
