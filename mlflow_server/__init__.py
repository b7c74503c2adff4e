"""The tracking server: MLflow's own, over the store of a runs folder, on this machine only.

    python -m mlflow_server --runs-dir runs      then open the address that it prints
    python -m mlflow_server start | stop | status | backup | restore

    verbs, options, settings       what was said -> what a server is told
    lifecycle, server, state       from the settings to its end; who serves a folder
    store, sqlite_file, migrating  what must be usable before MLflow starts
    backup, restore, archive       the store as one file, and back
    team, login, users, postgres   a server for several people

Imports nothing of ours and, in its own process, no mlflow; nobody imports it.
"""
