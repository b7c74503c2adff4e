"""Addresses without what is secret in them: for files, messages and tables."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_SECRET_KEYS: Final = re.compile(r"pass|secret|token|key|^user$", re.IGNORECASE)


def without_credentials(uri: str | None) -> str | None:
    """`uri` without user information and secret query parameters.

    >>> without_credentials("https://ann:pw@host:5000/x?password=1&ssl=1")
    'https://host:5000/x?ssl=1'
    """
    if uri is None or "://" not in uri:
        return uri if uri is None else uri.rpartition("@")[2]
    parts = urlsplit(uri)
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if not _SECRET_KEYS.search(k)])
    host = parts.netloc.rpartition("@")[2]
    # by hand: urlunsplit loses a slash of sqlite:////absolute/path
    return f"{parts.scheme}://{host}{parts.path}{'?' if query else ''}{query}"


def scrub(text: str, uri: str) -> str:
    """`text`, such as an error of a library, without the credentials of `uri`.

    >>> scrub("no answer from http://ann:pw@host/api", "http://ann:pw@host")
    'no answer from http://host/api'
    """
    text = text.replace(uri, without_credentials(uri) or "")
    parts = urlsplit(uri) if "://" in uri else None
    if parts is None:
        return text
    user, at, _ = parts.netloc.rpartition("@")
    secrets = [f"{user}{at}", *(v for k, v in parse_qsl(parts.query) if _SECRET_KEYS.search(k))]
    for secret in filter(None, secrets):
        text = text.replace(secret, "")
    return text
