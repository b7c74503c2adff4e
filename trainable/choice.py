"""Which labels of a document are named. Imports no torch: the command line checks with it."""

import dataclasses

from trainable.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """As the model was told to choose, unless something else is said.

    Raises:
        UsageError: a value out of range, or both.
    """

    threshold: float | None = None
    """In (0, 1), for all labels; None: the model's, which were chosen on validation."""
    top: int | None = None
    """So many labels of each document, whatever their probability."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"threshold must lie in (0, 1), got {self.threshold:g}")
        if self.top is not None and self.top < 1:
            raise UsageError(f"top must be at least 1, got {self.top}")
        if self.threshold is not None and self.top is not None:
            raise UsageError("top names labels whatever their probability: leave threshold out")


AS_TRAINED = Choice()
"""The model's own thresholds."""
