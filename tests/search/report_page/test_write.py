"""The whole report, from folders as searches of all kinds leave them."""

import html
import json
import re
from html.parser import HTMLParser

import pytest

from search.cli import main
from search.journal import read_journal
from search.lock import hold
from search.report_page import write_report
from search.report_page.parts import Cautions, Numbers, Table
from search.report_page.write import build_page
from search.results import load_search
from search.show import DEFAULT_RUNS_DIR
from tests.confirmed_search import write_confirmed_search
from tests.many_trials import GAMMA, RATE, trial, write_trials
from tests.report_figures import check
from tests.search_folder import LABELS, START, test_report, write_search_folder

HOSTILE = "<script>alert(1)</script>&<b>`x`"


def page_of(folder):
    record = load_search(folder)
    events = read_journal(folder / "journal.jsonl")
    return build_page(record, events, runs_dir=DEFAULT_RUNS_DIR, now=START + 1000)


def part_of(page, section, kind):
    [found] = [s for s in page.sections if s.name == section]
    return next(part for part in found.parts if isinstance(part, kind))


def figures_of(page):
    return {figure.name: figure for figure in page.figures}


class Elements(HTMLParser):
    """Start tags with their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_a_whole_search(tmp_path):
    page = page_of(write_search_folder(tmp_path / "mine"))
    check(page)
    assert [section.name for section in page.sections] == [
        *("outcome", "history", "curves", "settings", "test", "failures", "cost", "trials"),
        *("origin", "commands"),
    ]
    assert set(figures_of(page)) == {
        *("history-time", "history-epochs", "learning-curves"),
        *("slice-learning-rate", "slice-gamma", "slice-mu", "parallel"),
        *("groups", "frequency", "thresholds"),
    }
    assert page.title == "mine"
    assert "interrupted, 5 of 6 trials ended" in page.status


def test_the_file_loads_nothing_and_is_one_document(tmp_path):
    folder = write_search_folder(tmp_path / "mine")
    text = write_report(folder).read_text()
    elements = Elements(text)
    addresses = [
        address
        for _, attributes in elements.tags
        for name in ("src", "href", "action", "data", "poster", "srcset")
        if (address := attributes.get(name)) is not None
    ]
    assert [a for a in addresses if not a.startswith(("#", "data:,"))] == []
    assert "@import" not in text
    assert "url(" not in text.split('id="plotly"')[0]
    identifiers = [a["id"] for _, a in elements.tags if "id" in a]
    assert len(set(identifiers)) == len(identifiers)
    links = [a["href"][1:] for tag, a in elements.tags if tag == "a"]
    assert set(links) <= set(identifiers)


def test_a_whole_report_takes_little_room(tmp_path):
    size = write_report(write_search_folder(tmp_path / "mine")).stat().st_size
    assert 1_000_000 < size < 2_500_000  # Plotly, compressed, is nearly all of it


def test_what_a_user_named_is_never_html(tmp_path):
    folder = write_search_folder(tmp_path / "mine", dataset=HOSTILE)
    report = test_report()
    report["per_label"][0]["label"] = HOSTILE
    (folder / "test_report.json").write_text(json.dumps(report))
    text = write_report(folder).read_text()
    assert "alert(1)" in text  # it is shown
    assert "<script>alert" not in text
    assert html.escape(HOSTILE) in text
    data = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in data
    [hover] = [
        row[0]
        for figure in json.loads(data)
        if figure["name"] == "frequency"
        for trace in figure["traces"]
        for row in trace.get("customdata", ())
        if "alert" in row[0]
    ]
    assert "<" not in hover  # Plotly reads tags in what it shows
    assert html.unescape(hover) == HOSTILE


def test_a_running_search_says_as_of_when(tmp_path):
    folder = write_search_folder(tmp_path / "mine", whole=False)
    with hold(folder):
        page = page_of(folder)
    check(page)
    assert page.status.startswith("As of 2023-11-14 22:30 UTC: running, 1 of 6 trials ended")
    titles = [caution.title for caution in part_of(page, "outcome", Cautions).items]
    assert "The search is still running" in titles
    assert "groups" not in figures_of(page)


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial([], status=None, learning_rate=1e-4, gamma=2.0)],
        [trial([], status="failed", reason="no such file", learning_rate=1e-4, gamma=2.0)] * 3,
        [trial([0.5, 0.6], learning_rate=1e-4, gamma=2.0)],
        [trial([0.0], status="diverged", reason="loss", learning_rate=1e-4, gamma=2.0)] * 2,
        [trial([0.5] * 2, learning_rate=1e-4, gamma=2.0)] * 12,  # all alike
    ],
    ids=["none", "one that runs", "all failed", "one", "all diverged", "all alike"],
)
def test_searches_that_have_little_to_tell(tmp_path, trials):
    folder = write_trials(tmp_path / "mine", trials)
    check(page_of(folder))
    assert write_report(folder).is_file()


def test_before_the_first_event(tmp_path):
    folder = write_trials(tmp_path / "mine", [])
    (folder / "journal.jsonl").unlink()
    page = page_of(folder)
    assert page.figures == ()
    text = write_report(folder).read_text()
    assert "No trial has finished an epoch" in text
    assert len(text) < 100_000  # nothing to draw: no library


def test_failures_are_told_with_their_reasons(tmp_path):
    trials = [
        trial([0.5, 0.6], learning_rate=1e-4, gamma=2.0),
        trial([], status="failed", reason="its worker process died", learning_rate=1e-3, gamma=1.0),
        trial([0.1], status="out_of_memory", reason="4 GiB", learning_rate=2e-4, gamma=1.0),
    ]
    page = page_of(write_trials(tmp_path / "mine", trials))
    rows = part_of(page, "failures", Table).rows
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("failed", "its worker process died", "1"),
        ("out of memory", "4 GiB", "2"),
    ]


def test_trials_with_different_settings(tmp_path):
    """As a search over several losses has them: a setting belongs to some of the trials only."""
    losses = {"name": "lr_schedule", "choices": ["constant", "linear"]}
    trials = [
        trial([0.5, 0.5 + 0.01 * n], learning_rate=10 ** (-5 + n / 8), lr_schedule="constant")
        if n % 2
        else trial([0.4, 0.5], learning_rate=1e-4, lr_schedule="linear", gamma=0.2 * n)
        for n in range(14)
    ]
    page = page_of(write_trials(tmp_path / "mine", trials, dimensions=(losses, RATE, GAMMA)))
    check(page)
    figures = figures_of(page)
    assert set(figures["importance"].traces[0]["y"]) == {"lr_schedule", "learning_rate"}
    assert "Not rated" in figures["importance"].caption
    assert "gamma" in figures["importance"].caption
    shown = sum(len(t["x"]) for t in figures["slice-gamma"].traces if t["marker"]["size"] == 8)
    assert shown == 7
    [of_gamma] = [
        row for row in figures["parallel"].traces[0]["dimensions"] if row["label"] == "gamma"
    ]
    assert "not sampled" in of_gamma["ticktext"]
    assert sum(value < 0 for value in of_gamma["values"]) == 7


def test_two_objectives_have_a_front(tmp_path):
    trials = [trial([0.5, 0.5 + 0.01 * n], learning_rate=1e-4, gamma=0.5 * n) for n in range(4)]
    changes = {"pareto": True, "config": {"objective": "micro_f1+macro_f1"}}
    page = page_of(write_trials(tmp_path / "mine", trials, **changes))
    check(page)
    front = figures_of(page)["pareto-front"]
    assert "in both scores: 3." in front.caption
    assert front.traces[-1]["x"] == [53.0]
    assert front.traces[-1]["y"] == [33.0]


def test_a_confirmed_search(tmp_path):
    page = page_of(write_confirmed_search(tmp_path / "mine"))
    check(page)
    figure = figures_of(page)["seeds"]
    assert sorted(figure.traces[1]["x"]) == [80.0, 82.0, 83.0]
    table = part_of(page, "confirmation", Table)
    assert table.rows[0] == ("trial 2", "winner", "76.00", "81.67", "1.53", "3")


def test_the_chosen_curve_is_that_of_the_search(tmp_path):
    """A confirmed winner stands in the record with its run of another seed."""
    folder = write_confirmed_search(tmp_path / "mine")
    best = figures_of(page_of(folder))["learning-curves"].traces[-1]
    own = next(t for t in load_search(folder).trials if t.number == 2)
    assert best["name"] == "best"
    assert best["y"][:-1] == [round(100 * row["val/objective"], 3) for row in own.epochs]


def test_two_hundred_trials_stay_small(tmp_path):
    trials = [
        trial([0.5 + 0.001 * e for e in range(40)], learning_rate=1e-4, gamma=0.001 * n)
        for n in range(250)
    ]
    folder = write_trials(tmp_path / "mine", trials, config={"epochs": 40})
    page = page_of(folder)
    curves = figures_of(page)["learning-curves"]
    assert sum(len(t["x"]) for t in curves.traces) < 7000
    assert "50 are not" in curves.caption
    assert write_report(folder).stat().st_size < 3_000_000


def test_the_command(tmp_path, capsys):
    folder = write_search_folder(tmp_path / "runs" / "mine")
    where = ["--runs-dir", str(tmp_path / "runs")]
    assert main(["report", "mine", *where]) == 0
    assert capsys.readouterr().out.split() == ["wrote", str(folder / "report.html")]
    other = tmp_path / "other.html"
    assert main(["report", "mine", "-o", str(other), *where]) == 0
    assert f"--runs-dir {tmp_path / 'runs'}" in other.read_text()
    assert main(["report", "mine", "-o", str(tmp_path / "no" / "r.html"), *where]) == 1
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err
    assert main(["report", "mien", *where]) == 2
    assert "mine" in capsys.readouterr().err


def test_no_byte_of_the_search_is_changed(tmp_path):
    folder = write_search_folder(tmp_path / "mine")

    def contents():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = contents()
    write_report(folder, tmp_path / "elsewhere.html")
    assert contents() == before


def test_every_label_has_its_row(tmp_path):
    page = page_of(write_search_folder(tmp_path / "mine"))
    table = part_of(page, "test", Table)
    assert [row[0] for row in table.rows] == list(LABELS)  # by their training documents
    assert table.rows[0] == ("alpha", "head", "400", "100", "90.0", "80.0", "84.7")


def test_precision_and_intervals_are_shown_where_the_test_report_has_them(tmp_path):
    folder = write_search_folder(tmp_path / "mine")
    assert "precision-recall" not in figures_of(page_of(folder))
    report = test_report()
    grid = report["threshold_curve"]["threshold"]
    report["threshold_curve"] |= {
        "micro_precision": [0.5 + t / 2 for t in grid],
        "micro_recall": [1 - t for t in grid],
    }
    rows = {"total": [0.81, 0.85], "tail": [0.3, 0.5]}
    report["intervals"] = {"level": 0.95, **{row: {"micro_f1": v} for row, v in rows.items()}}
    (folder / "test_report.json").write_text(json.dumps(report))
    page = page_of(folder)
    check(page)
    figures = figures_of(page)
    assert "precision is 70.0 % and recall 60.0 %" in figures["precision-recall"].caption
    whiskers = figures["groups"].traces[0]["error_y"]  # all, head, medium, tail
    assert whiskers["array"] == pytest.approx([2.0, 0.0, 0.0, 10.0])
    assert whiskers["arrayminus"] == pytest.approx([2.0, 0.0, 0.0, 10.0])
    numbers = {n.label: n.detail for n in part_of(page, "outcome", Numbers).items}
    assert numbers["test micro-F1"] == "95 % interval 81.00 to 85.00"


@pytest.mark.parametrize(("objective", "said"), [("micro_f1", True), ("macro_f1", False)])
def test_the_interval_of_the_gain_is_of_the_objective(tmp_path, objective, said):
    folder = write_confirmed_search(tmp_path / "mine")
    spec = folder / "spec.yaml"
    spec.write_text(
        spec.read_text().replace("  loss: db\n", f"  loss: db\n  objective: {objective}\n", 1)
    )
    numbers = part_of(page_of(folder), "outcome", Numbers).items
    [gain] = [number for number in numbers if number.label.startswith("micro-F1 over")]
    assert ("interval" in gain.detail) is said
