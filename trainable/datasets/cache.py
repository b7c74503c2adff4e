"""Where downloads and tokenised datasets are kept between runs."""

import os
from pathlib import Path
from typing import Final

from trainable.paths import expand

CACHE_VARIABLE: Final = "LONGTAIL_CACHE"
"""Environment variable that moves the cache."""


def default_cache_dir() -> Path:
    """$LONGTAIL_CACHE if set, else the cache folder that this operating system gives a user.

    The folder need not exist; whoever writes into it creates it.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return expand(chosen, CACHE_VARIABLE).absolute()
    try:
        import platformdirs
    except ImportError:  # a bare training machine
        return Path("~/.cache/longtail-search").expanduser()
    return platformdirs.user_cache_path("longtail-search")
