"""Trained models after a search: what is known of a folder, and its registration."""
