"""Search folders that others made: what a resume would write through, contact and run, asked first.

Nothing in a folder is code: it is YAML, JSON, SQLite, safetensors, and checkpoints that are read
with `weights_only`. What is left is where they point. A link in a folder leads writes, deletions
and uploads out of it: it is refused. Addresses, data and encoder in spec.yaml are used with this
user's passwords and rights: what the user has not said here needs `--trust`.

A search that was started here carries a mark: an HMAC over just those values, with a key that only
this user can read. It says that this user has used them, whoever sends the folder back. Traded
away: a HOME that cannot be written keeps no key, and every resume needs `--trust` there.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs

from search.credentials import without_credentials
from search.files import read_json, write_json
from search.samplers import HUB
from search.spec import SPEC_NAME, SearchSpec
from trainable.encoders import PACKAGED
from trainable.errors import UsageError

MARK_NAME: Final = "made_here.json"
KEY_NAME: Final = "folder-key"

_KEY_BYTES: Final = 32
_KNOWN_ENCODERS: Final = (PACKAGED, "bert-base-cased")
_MOST_ENTRIES: Final = 1_000_000


def check_entries(folder: Path) -> None:
    """The folder of a search holds files and folders, and nothing that leads out of it.

    Raises:
        UsageError: a link or a special file; or it cannot be looked at.
    """
    for entry in _entries(folder):
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:  # of a search that is running
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "no file"
            raise UsageError(
                f"{entry.path} is {kind}, which no search makes: what is written, deleted or sent "
                "through it could be anything; take it out, or put the file itself there"
            )


def uses(spec: SearchSpec) -> dict[str, str]:
    """What a search reaches outside its folder beyond what every search does, by field and value.

    Addresses are without credentials.
    """
    config, found = spec.config, {}
    for name in ("address", "storage", "tracking_uri"):
        if (value := without_credentials(getattr(spec, name))) is not None:
            found[name] = value
    if config.data_path is not None:
        found["data_path"] = config.data_path
    if config.encoder not in _KNOWN_ENCODERS:
        found["encoder"] = config.encoder
    if spec.sampler.startswith(HUB):
        found["sampler"] = spec.sampler
    return found


_WORDS: Final = {
    "address": "run on the Ray cluster {}, which can run code here",
    "storage": "keep its study in {} with your rights",
    "tracking_uri": "record in {} with your rights",
    "data_path": "read the data {}",
    "encoder": "read the encoder {}",
    "sampler": "run the code of {} from OptunaHub",
}


def check_trusted(spec: SearchSpec, *, said: Collection[str] = (), trust: bool = False) -> None:
    """Refuse to resume what a stranger made, before anything is contacted or written.

    Args:
        spec: As it would run.
        said: Fields whose values the user gave just now.
        trust: Whether the user trusts the rest.

    Raises:
        UsageError: something that the user has neither said now nor begun this search with.
    """
    asked = {name: value for name, value in uses(spec).items() if name not in said}
    if trust or not asked or _is_marked(spec, asked):
        return
    trusting = f"`python -m search resume {spec.name} --trust`"
    own = "--address, --storage or --tracking-uri of your own"
    raise _unknown(spec, asked, f"Go on with {trusting}, or with {own}")


def check_sending(spec: SearchSpec) -> None:
    """Refuse to send what a search recorded to where a stranger's spec.yaml says.

    Raises:
        UsageError: as `check_trusted`, of the tracking address alone.
    """
    asked = {name: value for name, value in uses(spec).items() if name == "tracking_uri"}
    if asked and not _is_marked(spec, asked):
        raise _unknown(spec, asked, "Say where to with --tracking-uri")


def _unknown(spec: SearchSpec, asked: Mapping[str, str], advice: str) -> UsageError:
    told = "; ".join(_WORDS[name].format(value) for name, value in asked.items())
    return UsageError(
        f"search '{spec.name}' has no mark that you began it with these values on this machine. It "
        f"would {told}. {advice}"
    )


def save_own(spec: SearchSpec) -> None:
    """Write spec.yaml, and vouch for it.

    Raises:
        OSError: it cannot be written.
    """
    spec.save(spec.folder / SPEC_NAME)
    vouch(spec)


def vouch(spec: SearchSpec) -> None:
    """Mark the folder of a search whose values the user has said or trusts."""
    with contextlib.suppress(OSError):  # costs a --trust
        if uses(spec) and (key := _key(make=True)):
            write_json(spec.folder / MARK_NAME, {"mark": _mark(key, spec)})


def _is_marked(spec: SearchSpec, asked: Mapping[str, str]) -> bool:
    """Whether this user began or trusted a search of that name with what its spec.yaml holds."""
    mark = (read_json(spec.folder / MARK_NAME) or {}).get("mark")
    key = _key(make=False)
    if key is None or not isinstance(mark, str):
        return False
    saved = SearchSpec.load(spec.folder / SPEC_NAME).replace(name=spec.name)
    ours = hmac.compare_digest(_mark(key, saved).encode(), mark.encode())
    return ours and asked.items() <= uses(saved).items()


def _mark(key: bytes, spec: SearchSpec) -> str:
    """Over all of it at once: marks of two searches make no third."""
    said = json.dumps([spec.name, sorted(uses(spec).items())])
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes | None:
    """The user's key; None where there is none, or others could have read or written it."""
    path = platformdirs.user_state_path("longtail-search") / KEY_NAME
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            key = file.read()
    except OSError:
        return _new_key(path) if make else None
    private = found.st_uid == os.getuid() and not found.st_mode & 0o077
    return key if private and len(key) == _KEY_BYTES else None


def _new_key(path: Path) -> bytes | None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):  # another search was faster
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return _key(make=False)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting, seen = [str(folder)], 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError(f"{folder}: cannot be read ({error.strerror})") from None
        if seen > _MOST_ENTRIES:
            raise UsageError(f"{folder} holds more than {_MOST_ENTRIES} files: no search does")
