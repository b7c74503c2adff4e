"""The driver: command line, orchestration, results. Sits on `spaces` and `trainable`."""
