"""The example notebook as its reader runs it: a kernel, an empty folder, no network."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

from search import load_search
from trainable.best import BestConfig

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def outputs(notebook, word):
    """What the one cell with `word` in its code left."""
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and word in cell.source]
    return cell.outputs


def kinds(notebook):
    return [
        [sorted(output.get("data", [output.output_type])) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning:jupyter_client")
def test_the_notebook_runs_and_shows_what_it_shows_in_the_docs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shown = nbformat.read(NOTEBOOK, as_version=4)
    notebook = nbformat.from_dict({**shown, "cells": [dict(cell) for cell in shown.cells]})
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute(env=dict(os.environ))
    assert kinds(notebook) == kinds(shown)  # frames, a picture, and nothing printed between them
    assert "image/png" in outputs(notebook, "learning_curves")[0].data
    again = outputs(notebook, "add_trials")[0].data["text/plain"]
    assert again.startswith("<Search notebook: completed, 6 of 6 trials, best 0.")

    found = load_search(tmp_path / "runs" / "notebook")
    assert len(found.trials) == 6
    assert BestConfig.load(tmp_path / "best.yaml") == found.best_config


def test_the_page_in_the_docs_is_one_whole_run():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert "error" not in str(kinds(notebook))
