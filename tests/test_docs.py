"""Documents that cannot drift: links, the file tree, the command line, the commands shown."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
PACKAGES = ("search", "spaces", "trainable", "mlflow_server", "benchmarks")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    broken = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize(
    "module",
    [
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if ">>>" in path.read_text(encoding="utf-8")
    ],
)
def test_examples_in_docstrings(module):
    results = doctest.testmod(importlib.import_module(module.removesuffix(".__init__")))
    assert results.attempted > 0
    assert results.failed == 0


def tree_entries() -> set[str]:
    """The paths named in the README's annotated tree."""
    block = README.split("```tree\n", 1)[1].split("```", 1)[0]
    entries, folders = set(), []
    for line in block.splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth:] = [name.rstrip("/")] if name.endswith("/") else []
        if not name.endswith("/"):
            entries.add("/".join([*folders[:depth], name]))
    return entries


def test_the_tree_in_the_readme_is_the_tree():
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    }
    shown = {entry for entry in tree_entries() if entry.split("/")[0] in PACKAGES}
    assert sorted(shown) == sorted(files)


def test_the_command_reference_is_current():
    from docs.generate import TARGET, reference

    assert TARGET.read_text(encoding="utf-8") == reference(), "run: python -m docs.generate"


def commands_shown() -> list[str]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found += re.findall(r"^\s*\$?\s*(?:\.venv/bin/)?(python -m search .+)$", text, re.MULTILINE)
    return [command for command in found if "COMMAND" not in command]


@pytest.mark.parametrize("command", commands_shown())
def test_commands_shown_are_understood(command):
    from search.cli import parse

    words = shlex.split(command, comments=True)[3:]
    if "--help" not in words:
        parse(words)
