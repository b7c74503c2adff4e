"""What can go wrong. Each message is one line: what must hold, what was found, what to do."""


class StoreError(Exception):
    """The store, or what was said, cannot be used (exit code 2)."""


class DamagedError(StoreError):
    """A database is not whole: only a backup helps."""


class ServerError(Exception):
    """The server, a backup or a restore cannot run (exit code 1)."""
