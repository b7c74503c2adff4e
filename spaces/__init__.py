"""What is searched for each loss: Optuna define-by-run spaces."""
