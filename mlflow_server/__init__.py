"""The tracking server of one machine: `python -m mlflow_server`."""
