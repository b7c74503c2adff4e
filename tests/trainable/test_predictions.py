"""Predictions on disk: what was saved comes back, and nothing else is taken for it."""

import numpy as np
import pytest

from trainable.errors import UsageError
from trainable.predictions import LabelSets, Predictions


def some_predictions(predicted=((0,), (), (1, 2)), true=((0, 1), (2,), ()), **changes):
    values = {
        "documents": tuple(f"doc-ä-{n}" for n in range(len(true))),
        "label_names": ("one", "two", "three"),
        "groups": ("head", "medium", "tail"),
        "threshold": 0.37,
        "predicted": LabelSets.of(predicted),
        "true": LabelSets.of(true),
    }
    return Predictions(**{**values, **changes})


def test_comes_back_as_it_was(tmp_path):
    saved = some_predictions()
    saved.save(tmp_path / "p.npz")
    found = Predictions.load(tmp_path / "p.npz")
    for name in ("documents", "label_names", "groups", "threshold"):
        assert getattr(found, name) == getattr(saved, name)
    assert found.predicted.matrix(3).toarray().tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert found.true.matrix(3).toarray().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_no_documents(tmp_path):
    some_predictions(predicted=(), true=()).save(tmp_path / "p.npz")
    assert len(Predictions.load(tmp_path / "p.npz").true) == 0


def broken(kind, path):
    saved = some_predictions()
    if kind == "missing":
        return
    if kind == "text":
        path.write_text("not an archive")
    elif kind == "cut":
        saved.save(path)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "pickle":
        np.savez(path, head=np.array([{"a": 1}], dtype=object))
    elif kind == "other":
        np.savez(path, numbers=np.arange(3))
    elif kind == "label":
        some_predictions(predicted=((0,), (), (7,))).save(path)
    elif kind == "documents":
        some_predictions(documents=("one",)).save(path)
    elif kind == "groups":
        some_predictions(groups=("head",)).save(path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file; an evaluation on test writes it"),
        ("text", "cannot be read"),
        ("cut", "cannot be read"),
        ("pickle", "cannot be read"),
        ("other", "cannot be read"),
        ("label", "is damaged: its labels do not fit"),
        ("documents", "is damaged: its labels do not fit"),
        ("groups", "is damaged: a label without a group"),
    ],
)
def test_what_is_none_is_one_line(tmp_path, kind, says):
    path = tmp_path / "p.npz"
    broken(kind, path)
    with pytest.raises(UsageError, match=says) as caught:
        Predictions.load(path)
    assert "\n" not in str(caught.value)
