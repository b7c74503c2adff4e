"""The tracking server: MLflow's own, over the store of a runs folder, on this machine only.

    python -m mlflow_server --runs-dir runs      then open the address that it prints

    __main__   the command line
    settings   what a server is told
    options    the command line -> settings
    process_environment  settings -> MLflow's command line and environment
    store      the runs folder: what must be usable before the server starts
    server     the server process: start, wait until it answers, stop all of it

Imports nothing of ours and, in its own process, no mlflow; nobody imports it.
"""
