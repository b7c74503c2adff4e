"""The driver: command line, orchestration, results. Sits on `spaces` and `trainable`.

For notebooks and scripts: `run_search` and `load_search`.
"""

from search.api import Search, load_search, run_search

__all__ = ["Search", "load_search", "run_search"]
