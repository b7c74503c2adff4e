"""--space FILE: the changes to a space that a user wrote down as YAML."""

from pathlib import Path
from typing import Any

import yaml

from trainable.errors import UsageError


def read_space_file(path: str) -> dict[str, Any]:
    """The changes to a space that a YAML file asks for: {name: {low, high, log} | [choices]}.

    Raises:
        UsageError: it cannot be read or is not a mapping.
    """
    try:
        changes = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--space {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise UsageError(f"--space {path}: not valid YAML ({error})") from None
    if not isinstance(changes, dict) or not changes:
        raise UsageError(
            f"--space {path}: must map names to ranges, as in "
            "'learning_rate: {low: 1e-5, high: 1e-3, log: true}'"
        )
    return {str(name): change for name, change in changes.items()}
