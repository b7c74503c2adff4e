import subprocess
import sys
from types import SimpleNamespace

import pytest

from search.plots import _save, draw_plots, groups_figure, learning_curves_figure, threshold_figure
from search.published import published_row
from search.results import TrialRecord
from tests.search_folder import TRIALS, epoch_metrics, test_report


def trial(number):
    _, _, epochs, status = TRIALS[number]
    rows = tuple(epoch_metrics(number, epoch) for epoch in range(1, epochs + 1))
    return TrialRecord(
        number=number, params={}, status=status or "interrupted", epochs=rows, started=0.0
    )


class Record:
    """What `draw_plots` reads of a SearchRecord."""

    def __init__(self, folder, trials=(), report=None):
        self.folder, self.trials, self.test_report = folder, trials, report
        self.spec = SimpleNamespace(config=SimpleNamespace(objective="macro_f1"))


def size(path):
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_every_plot_is_a_picture_of_one_size(tmp_path):
    record = Record(tmp_path, tuple(map(trial, TRIALS)), test_report())
    written = draw_plots(record, published_row("reuters", "db"))
    assert [path.name for path in written] == [
        "learning_curves.png",
        "threshold_curve.png",
        "groups.png",
    ]
    assert {size(path) for path in written} == {(960, 576)}
    assert sorted(tmp_path.glob("plots/*")) == sorted(written)


def test_what_has_no_data_yet_is_not_drawn(tmp_path):
    assert draw_plots(Record(tmp_path)) == ()
    assert list(tmp_path.iterdir()) == []
    [only] = draw_plots(Record(tmp_path, (trial(1),)))
    assert only.name == "learning_curves.png"


@pytest.mark.parametrize("published", [None, published_row("reuters", "bce")])
def test_the_same_data_give_the_same_bytes(tmp_path, published):
    first = _save(groups_figure(test_report(), published), tmp_path / "a.png").read_bytes()
    assert _save(groups_figure(test_report(), published), tmp_path / "b.png").read_bytes() == first
    other = {**test_report(), "micro_f1": 0.5}
    assert _save(groups_figure(other, published), tmp_path / "c.png").read_bytes() != first


def test_the_threshold_is_in_the_picture(tmp_path):
    first = _save(threshold_figure(test_report()), tmp_path / "a.png").read_bytes()
    other = {**test_report(), "threshold": 0.6}
    assert _save(threshold_figure(other), tmp_path / "b.png").read_bytes() != first


def test_many_trials_fit(tmp_path):
    trials = [trial(number % len(TRIALS)) for number in range(60)]
    assert size(_save(learning_curves_figure(trials), tmp_path / "a.png")) == (960, 576)


def test_no_pyplot_and_no_display(tmp_path):
    code = (
        "import sys; sys.path.insert(0, '.'); from search import plots; "
        "assert 'matplotlib' not in sys.modules; from pathlib import Path; "
        "f, _ = plots._canvas('t', 'x', 'y'); plots._save(f, Path(sys.argv[1])); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": "/"})
    assert done.returncode == 0, done.stderr
