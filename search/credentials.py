"""Addresses without what is secret in them: for files, messages, tables and command lines.

A password in an address comes back on the next start from the environment: `LONGTAIL_STORAGE` and
`LONGTAIL_TRACKING_URI` hold whole addresses, which the command line (every user of a machine can
read it) and the folder of a search (it travels) do not.
"""

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_SECRET_KEYS: Final = re.compile(
    r"pass|pwd|secret|token|key|auth|credential|signature|^sig$|^user$", re.IGNORECASE
)
_USER_INFO: Final = re.compile(r"[^:/@]*(?::[^@]*)?@")
"""As SQLAlchemy reads it: a password may hold `/`, `?` and `#`."""
_SHORTEST: Final = 3
"""Characters of a password that is looked for by itself in a text."""

VARIABLES: Final[Mapping[str, str]] = {
    "storage": "LONGTAIL_STORAGE",
    "tracking_uri": "LONGTAIL_TRACKING_URI",
}
"""Environment variables that hold an address, by the field of SearchSpec."""


def without_credentials(uri: str | None) -> str | None:
    """`uri` without user information and secret query parameters.

    >>> without_credentials("https://ann:pw@host:5000/x?password=1&ssl=1")
    'https://host:5000/x?ssl=1'
    >>> without_credentials("postgresql://ann:p/w@host/x")
    'postgresql://host/x'
    """
    if uri is None or "://" not in uri:
        return uri if uri is None else uri.rpartition("@")[2]
    scheme, _, rest = uri.partition("://")
    rest = rest[len(_user_info(uri)) :]
    address, question, query = rest.partition("#")[0].partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = urlencode([(key, value) for key, value in pairs if not _SECRET_KEYS.search(key)])
    # by hand: urlunsplit loses a slash of sqlite:////absolute/path
    return f"{scheme}://{address}{question if kept else ''}{kept}"


def has_credentials(uri: str | None) -> bool:
    """Whether `uri` holds something that `without_credentials` takes out."""
    return uri is not None and (bool(_user_info(uri)) or bool(_secret_values(uri)))


def scrub(text: str, uri: str) -> str:
    """`text`, such as an error of a library, without the credentials of `uri`.

    >>> scrub("no answer from http://ann:pw@host/api", "http://ann:pw@host")
    'no answer from http://host/api'
    """
    text = text.replace(uri, without_credentials(uri) or "")
    info = _user_info(uri)
    password = info.rstrip("@").partition(":")[2]
    alone = [word for word in (password, unquote(password)) if len(word) >= _SHORTEST]
    for secret in filter(None, (info, *_secret_values(uri), *alone)):
        text = text.replace(secret, "")
    return text


def from_environment(name: str, said: str | None) -> str | None:
    """The address of field `name`, with what the environment knows of it.

    Args:
        name: A key of `VARIABLES`.
        said: By the user or the search folder; None: nothing was.

    Returns:
        The variable's address where nothing was said, or where it is the same without credentials.
    """
    whole = os.environ.get(VARIABLES[name])
    if not whole:
        return said
    same = said is not None and without_credentials(whole) == without_credentials(said)
    return whole if said is None or (same and not has_credentials(said)) else said


def _user_info(uri: str) -> str:
    """Up to the `@`; "" without any. The path of an address may hold an `@`, too."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return rest[: authority.rindex("@") + 1]
    port = authority.rpartition(":")[2]
    if ":" not in authority or (scheme.startswith("http") and port.isdigit()):
        return ""
    found = _USER_INFO.match(rest)
    return found[0] if found else ""


def _secret_values(uri: str) -> list[str]:
    if "://" not in uri:
        return []
    try:
        query = urlsplit(uri).query
    except ValueError:  # a broken address
        query = uri.partition("?")[2]
    return [value for key, value in parse_qsl(query) if _SECRET_KEYS.search(key) and value]
