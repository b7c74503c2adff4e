"""What processes that only compute need not know: passwords, tokens and keys of the environment.

A worker reads arrays and writes weights. Whoever looks into it (a core dump, a log of its
environment, code that an encoder's author wrote) should find no password of a tracking server, a
database or a cloud there. Told by names and by addresses with a password in them, so a secret under
an innocent name stays; what Ray itself reads (RAY_*) stays too.
"""

import re
from collections.abc import Mapping
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"PASS(WORD|WD|PHRASE|FILE)?(_|$)|PASSWORD|SECRET|TOKEN(?!IZER)|CREDENTIAL|API_?KEY|"
    r"(ACCESS|PRIVATE|ACCOUNT)_?KEY|(^|_)(PWD|AUTH|KEY|DSN)$|CONNECTION_STRING|"
    r"^(MLFLOW|LONGTAIL)_TRACKING_(USERNAME|AUTH|URI)$|^LONGTAIL_STORAGE$",
    re.IGNORECASE,
)
_NOT_SECRET: Final = re.compile(r"^(PWD|OLDPWD|RAY_.*|SSH_AUTH_SOCK)$")
_SECRET_WORD: Final = r"pass|pwd|secret|token(?!izer)|key|auth|credential|sig"
_PASSWORD_IN_ADDRESS: Final = re.compile(
    rf"://[^/\s@]*:[^\s@]+@|(://.*[?&]|;)[^=&;\s]*({_SECRET_WORD})[^=&;\s]*=[^&;\s]"
    r"|(^|\s)(password|passwd)\s*=",  # libpq's own
    re.IGNORECASE,
)


def without_secrets(environment: Mapping[str, str]) -> dict[str, None]:
    """The variables that hold a secret, each with None: for `trainable.allocator.inherited`.

    >>> sorted(without_secrets({"HF_TOKEN": "x", "HOME": "/", "URL": "db://ann:pw@host/x"}))
    ['HF_TOKEN', 'URL']
    """
    return {name: None for name, value in environment.items() if _is_secret(name, value)}


def _is_secret(name: str, value: str) -> bool:
    if _NOT_SECRET.match(name):
        return False
    return bool(_SECRET_NAME.search(name) or _PASSWORD_IN_ADDRESS.search(value))
