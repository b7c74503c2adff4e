"""The MLflow page of a hand-written search, served by our server and seen in a real browser."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.plots import groups_figure
from search.tracking import Tracker, sync
from search.tracking.links import nested_link, search_link, trials_link, view_link
from search.tracking.replay import Replay
from tests.browser import CHROMIUM, FLAGS, MISSING
from tests.ports import free_port
from tests.search_folder import BEST_TRIAL, TRIALS, test_report, write_search_folder

ROOT = Path(__file__).resolve().parents[1]
WAIT_MS = 60_000
TRIAL_NAMES = [f"trial-{number:03d}" for number in TRIALS]

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A search recorded into the very file that the server is serving; its replay and address."""
    runs = tmp_path_factory.mktemp("served") / "runs"
    folder = write_search_folder(runs / "demo-db")
    (folder / "plots").mkdir(exist_ok=True)
    groups_figure(test_report()).savefig(folder / "plots" / "groups.png")
    port = free_port()
    command = [sys.executable, "-m", "mlflow_server", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--runs-dir", str(runs)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "MLflow serves" in server.stdout.readline()
        tracker = Tracker(folder)  # writes the file, past the server
        tracker.start()
        assert tracker.close(60)
        replay = Replay(folder)
        replay.advance()
        yield replay, f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        server.stdout.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("browser")),
            executable_path=CHROMIUM,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1500, "height": 900},
        )
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


def show(page, url):
    page.goto("about:blank")  # a change behind the # alone does not load anew
    page.goto(url)


def shoot(page, name):
    """Keep a picture where the environment says (for people)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def names_in_order(page):
    links = page.locator("a", has_text="trial-")
    links.first.wait_for()
    return [text.strip() for text in links.all_inner_texts()]


def test_trials_are_nested_below_their_search(page, served):
    replay, base = served
    show(page, nested_link(base, replay.sender.experiment_id))
    page.get_by_role("link", name="demo-db").wait_for()
    assert page.locator("a", has_text="trial-").count() == 0
    cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name="demo-db"))
    cell.get_by_role("button").first.click()
    assert sorted(names_in_order(page)) == TRIAL_NAMES
    shoot(page, "nested")


@pytest.mark.parametrize("link", [view_link, trials_link])
def test_the_list_of_trials_has_the_best_first(page, served, link):
    replay, base = served
    show(page, link(base, replay.sender.experiment_id, replay.sender.search_id))
    names = names_in_order(page)
    assert sorted(names) == TRIAL_NAMES
    assert names[0] == f"trial-{BEST_TRIAL:03d}"
    shoot(page, link.__name__)


def test_the_prepared_view_has_columns(page, served):
    replay, base = served
    show(page, view_link(base, replay.sender.experiment_id, replay.sender.search_id))
    for column in ("best/epoch", "learning_rate", "gamma"):
        page.get_by_text(column, exact=True).first.wait_for()


def test_the_prepared_view_has_charts(page, served):
    replay, base = served
    link = view_link(base, replay.sender.experiment_id, replay.sender.search_id)
    show(page, link + "&compareRunsMode=CHART")
    for title in ("Parallel Coordinates", "best/objective"):
        page.get_by_role("heading", name=title, exact=True).wait_for()
    shoot(page, "charts")


def test_the_page_of_the_search_says_what_came_out(page, served):
    replay, base = served
    show(page, search_link(base, replay.sender.experiment_id, replay.sender.run_id(None)))
    for text in ("Best configuration: trial 2", "test/tail/micro_f1", "trial-005"):
        page.get_by_text(text).first.wait_for()
    shoot(page, "search")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="trials, best first").click()
    trials = opened.value
    trials.get_by_text("matching runs").wait_for(timeout=WAIT_MS)
    assert names_in_order(trials)[0] == f"trial-{BEST_TRIAL:03d}"
    trials.get_by_text("learning_rate", exact=True).first.wait_for()  # the prepared columns
    trials.close()


def test_artifacts_are_shown(page, served):
    replay, base = served
    url = search_link(base, replay.sender.experiment_id, replay.sender.run_id(None))
    show(page, url.replace("?", "/artifacts?"))
    page.get_by_text("plots", exact=True).click()
    page.get_by_text("groups.png").first.click()
    picture = page.locator("img[src^=blob], img[src*=groups]").first
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 0
    shoot(page, "artifact")


def test_a_client_of_the_server_finds_the_artifacts(served, tmp_path):
    from mlflow import MlflowClient

    replay, base = served
    client = MlflowClient(tracking_uri=base)
    where = client.download_artifacts(replay.sender.run_id(None), "per_label.csv", str(tmp_path))
    assert "alpha" in Path(where).read_text()


def test_tracking_through_the_server(served, tmp_path):
    _, base = served
    folder = write_search_folder(tmp_path / "over-http", dataset="web")
    assert sync(folder, tracking_uri=base).runs == 1 + len(TRIALS)
    assert sync(folder, tracking_uri=base).runs == 1 + len(TRIALS)
