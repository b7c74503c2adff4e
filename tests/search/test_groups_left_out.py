"""Data whose labels are all equally frequent have no head and no tail: nothing may stumble."""

from types import SimpleNamespace

import numpy as np
import torch

from search.plots import groups_figure
from search.tables import scores_table
from tests.tiny import encoded_split
from trainable.encoded import EncodedDataset
from trainable.evaluation import evaluation_report


def report():
    split = encoded_split([[2, 3]] * 4, [(0,), (1,), (0,), (1,)])
    data = EncodedDataset(
        name="even",
        fingerprint="x",
        label_names=("a", "b"),
        groups=("medium", "medium"),
        pad_id=0,
        train=split,
        val=split,
        test=split,
    )
    probs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]])
    targets = torch.from_numpy(np.eye(2, dtype=bool)[[0, 1, 0, 1]])
    return evaluation_report([(probs, targets)], threshold=0.5, data=data)


def test_the_plot_of_the_groups(tmp_path):
    groups_figure(report()).savefig(tmp_path / "groups.png")
    assert (tmp_path / "groups.png").stat().st_size > 1000


def test_the_table_of_scores():
    config = SimpleNamespace(dataset="file", loss="db")
    spec = SimpleNamespace(config=config, trial_config=lambda _: config)
    record = SimpleNamespace(spec=spec, best=None)
    summary = {"best": {"trial": 1}, "paper_values": None, "validation": report(), "test": report()}
    summary["baselines"] = []
    columns = scores_table(record, summary).columns
    cells = {column.header: list(column.cells) for column in columns}
    assert cells["medium"][0] == cells["total"][0]
    assert cells["head"] == cells["tail"]
    assert "/" not in cells["head"][0]
