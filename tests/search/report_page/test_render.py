import math

import pytest

from search.report_page.parts import Figure, Page, Section, Text
from search.report_page.render import render


def rendered(*parts):
    section = Section(name="one", title="One", parts=parts)
    page = Page(title="t", subtitle="s", status="x", sections=(section,))
    return render(page, "footer")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("say `a <b>`.", "<p>say <code>a &lt;b&gt;</code>.</p>"),
        ("one ` alone <i>", "<p>one ` alone &lt;i&gt;</p>"),
        ("`a` and `b`", "<p><code>a</code> and <code>b</code></p>"),
    ],
)
def test_backticks_mark_commands(text, wanted):
    assert wanted in rendered(Text(text=text))


def test_a_number_that_json_has_not_is_refused():
    trace = {"type": "scatter", "y": [math.nan]}
    figure = Figure(name="f", title="f", caption="f", traces=(trace,), layout={})
    with pytest.raises(ValueError, match="not JSON compliant"):
        rendered(figure)


def test_a_page_without_figures_carries_no_library():
    assert len(rendered(Text(text="nothing yet"))) < 50_000
