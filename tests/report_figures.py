"""Figures of a report, held against Plotly's own schema."""

import json

from search.report_page.figures import THEMES


def painted(value, key=""):
    """With colours in place of their names, as the page's program puts them in."""
    if isinstance(value, dict):
        return {name: painted(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [painted(item, key) for item in value]
    if isinstance(value, str) and value.startswith("@") and "color" in key:
        return THEMES["dark"][value[1:]]
    return value


def check(page):
    """Every figure is one that Plotly knows, with a title, axes with titles, and a sentence."""
    import plotly.graph_objects as go

    for figure in page.figures:
        go.Figure(data=painted(list(figure.traces)), layout=painted(figure.layout))
        json.dumps([figure.traces, figure.layout], allow_nan=False)
        assert figure.title
        assert figure.caption or figure.name.startswith("slice-")
    names = [part.name for part in (*page.sections, *page.figures)]  # ids of the page
    assert len(set(names)) == len(names)
