"""The report in a real browser, opened from the disk with the network cut off."""

import json
import os
import random
from pathlib import Path

import pytest

from search.report_page import write_report
from tests.browser import CHROMIUM, FLAGS, MISSING
from tests.many_trials import GAMMA, RATE, trial, write_trials
from tests.search_folder import test_report as report_of_test

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SCHEDULE = {"name": "lr_schedule", "choices": ["constant", "linear"]}
WIDE, NARROW = 1400, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of thirty trials that ended in all ways, with a label that would be a script."""
    chance = random.Random(0)
    trials = []
    for number in range(30):
        status = ("completed", "stopped", "stopped", "stopped")[number % 4]
        status = {9: "diverged", 19: "failed", 29: "out_of_memory"}.get(number, status)
        params = {
            "learning_rate": 10 ** chance.uniform(-5, -3),
            "gamma": chance.uniform(0, 4),
            "lr_schedule": chance.choice(("constant", "linear")),
        }
        top = 0.6 + 0.05 * params["gamma"] + chance.gauss(0, 0.01)
        scores = [top - 0.2 / epoch for epoch in range(1, 5 if status == "completed" else 3)]
        reason = "below the top third at epoch 2" if status == "stopped" else HOSTILE
        trials.append(trial(scores, status, reason, **params))
    folder = tmp_path_factory.mktemp("report") / "mine"
    write_trials(folder, trials, dimensions=(RATE, GAMMA, SCHEDULE))
    best = max(
        (n for n, told in enumerate(trials) if told["scores"]),
        key=lambda n: max(trials[n]["scores"]),
    )
    scored = {"trial": best, "epoch": len(trials[best]["scores"])}
    tested = {**report_of_test(), **scored}
    tested["per_label"][0]["label"] = HOSTILE
    (folder / "test_report.json").write_text(json.dumps(tested))
    return write_report(folder)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=[*FLAGS, "--enable-unsafe-swiftshader"]
        )
        yield browser
        browser.close()


class Opened:
    """The report in a window of its own, and all that went wrong or was asked for."""

    def __init__(self, browser, report, width, scheme):
        self.asked, self.wrong = [], []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=True, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        self.page.on("console", self._hear)
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)

    def _hear(self, message):
        if message.type == "error":
            self.wrong.append(message.text)

    def count(self, selector):
        return self.page.locator(selector).count()


@pytest.fixture(
    scope="module",
    params=[(WIDE, "light"), (NARROW, "dark")],
    ids=["wide and light", "narrow and dark"],
)
def opened(request, browser, report):
    width, scheme = request.param
    opened = Opened(browser, report, width, scheme)
    yield opened
    if folder := os.environ.get("SCREENSHOTS"):
        opened.page.screenshot(path=Path(folder) / f"report-{width}.png", full_page=True)
    opened.context.close()


def test_it_opens_without_an_error_and_asks_for_nothing(opened, report):
    assert opened.wrong == []
    # the icon is in the page, too; what Plotly reads from a `blob:` or `data:` leaves no machine
    asked = [url for url in opened.asked if not url.startswith(("data:", "blob:"))]
    assert asked == [report.as_uri()]


def test_every_figure_is_drawn(opened):
    figures = json.loads(opened.page.locator("#figures").text_content())
    assert len(figures) >= 11
    assert opened.count(".plot[data-drawn]") == opened.count(".plot") == len(figures)
    for figure in figures:
        box = opened.page.locator(f"#{figure['name']} svg.main-svg").first.bounding_box()
        assert box["width"] > 200, figure["name"]
        assert box["height"] > 90, figure["name"]
    assert opened.count("#parallel canvas") > 0
    assert opened.count("#learning-curves .scatterlayer path.js-line") > 5
    assert opened.count("#groups .bars path") >= 8


def test_nothing_reaches_over_the_edge(opened):
    """What is wide scrolls inside: the page itself never does."""
    width = opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
    over = opened.page.evaluate(
        """[...document.querySelectorAll("main *")].filter((element) =>
          !element.closest(".scroll") && !element.closest("code") && !element.closest(".plot") &&
          element.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML)"""
    )
    assert over == []


def test_a_label_that_would_be_a_script_is_text(opened):
    opened.page.locator("summary", has_text="Every label").click()
    assert opened.page.get_by_text(HOSTILE).first.is_visible()
    assert opened.count("main img") == 0
    points = opened.page.locator("#frequency .points path")
    points.first.scroll_into_view_if_needed()
    texts = []
    for index in range(points.count()):
        points.nth(index).hover(force=True)
        opened.page.wait_for_timeout(80)
        texts += opened.page.locator("#frequency .hovertext").all_text_contents()
    assert any("onerror" in text for text in texts)
    assert opened.wrong == []


def test_a_table_is_sorted_from_the_keyboard(opened):
    opened.page.locator("summary", has_text="trials, the best first").click()
    table = opened.page.locator("#trials table")
    header = table.locator("th", has_text="epochs").last
    header.press("Enter")
    column = header.evaluate("header => header.cellIndex")
    numbers = [
        int(row.locator("td").nth(column).text_content()) for row in table.locator("tbody tr").all()
    ]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1
    assert header.get_attribute("aria-sort") == "ascending"


def test_colours_follow_the_scheme_and_paper_is_white(browser, report):
    opened = Opened(browser, report, WIDE, "dark")
    page = opened.page
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#learning-curves .xtick text')).fill"
    assert (page.evaluate(ground), page.evaluate(ink)) == ("rgb(22, 25, 31)", "rgb(230, 233, 238)")
    page.emulate_media(color_scheme="light")
    page.wait_for_selector(".plot[data-drawn=light]", state="attached")
    page.wait_for_function("document.querySelectorAll('.plot[data-drawn=dark]').length == 0")
    assert page.evaluate(ink) == "rgb(31, 35, 40)"
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.querySelectorAll('.plot[data-drawn=light]').length == 0")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.querySelectorAll('.plot[data-drawn=dark]').length == 0")
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert opened.wrong == []
    opened.context.close()
