"""Folders that others made: what is refused, asked for and marked as one's own."""

import json
import os
import shutil

import pytest

from search import strangers
from search.results import load_search
from search.spec import SearchSpec
from search.strangers import check_entries, check_trusted, save_own, uses, vouch
from tests.search_folder import write_search_folder
from trainable.errors import UsageError


@pytest.fixture
def spec(tmp_path):
    """Of a plain folder: the demo corpus, the packaged encoder, this machine."""
    folder = write_search_folder(tmp_path / "runs" / "mine")
    return SearchSpec.load(folder / "spec.yaml")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder / "longtail-search"


def test_what_reaches_nothing_outside_needs_no_trust(spec, state):
    assert uses(spec) == {}
    check_trusted(spec)
    vouch(spec)
    assert not state.exists()  # no key for nothing


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"address": "h:1"}, "run on the Ray cluster h:1, which can run code here"),
        (
            {"storage": "postgresql://me:pw@h/db"},
            "keep its study in postgresql://h/db with your rights",
        ),
        ({"tracking_uri": "http://me:pw@h"}, "record in http://h with your"),
        ({"sampler": "hub:samplers/x"}, "run the code of hub:samplers/x from OptunaHub"),
        ({"config": {"encoder": "who/knows"}}, "read the encoder who/knows"),
        ({"config": {"data_path": "/etc/passwd"}}, "read the data /etc/passwd"),
    ],
)
def test_what_it_reaches_is_said_and_remembered(spec, changes, told):
    if "config" in changes:
        changes = {"config": spec.config.replace(**changes["config"])}
    spec = spec.replace(**changes)
    with pytest.raises(
        UsageError, match="has no mark that you began it with these values"
    ) as caught:
        check_trusted(spec)
    assert told in str(caught.value)
    assert "pw" not in str(caught.value)
    check_trusted(spec, trust=True)
    save_own(spec)
    check_trusted(spec)
    assert "pw" not in (spec.folder / strangers.MARK_NAME).read_text()


def test_what_the_user_has_just_said_needs_no_trust(spec):
    spec = spec.replace(address="h:1", tracking_uri="http://h")
    check_trusted(spec, said={"address", "tracking_uri"})
    with pytest.raises(UsageError, match=r"would record in http://h with .* --trust"):
        check_trusted(spec, said={"address"})


def test_a_mark_is_of_its_values_and_of_this_user(spec, state):
    mine = spec.replace(address="h:1")
    save_own(mine)
    with pytest.raises(UsageError):
        check_trusted(spec.replace(address="h:2"))
    (state / strangers.KEY_NAME).unlink()  # another user, another machine
    with pytest.raises(UsageError):
        check_trusted(mine)
    save_own(mine)
    check_trusted(mine)
    marks = spec.folder / strangers.MARK_NAME
    true = marks.read_text()
    for told in (None, {}, 1, "0" * 64):
        marks.write_text(json.dumps({"mark": told}))
        with pytest.raises(UsageError):
            check_trusted(mine)
    marks.write_text(true)
    mine.replace(tracking_uri="http://h").save(spec.folder / "spec.yaml")
    with pytest.raises(UsageError):  # one value more
        check_trusted(mine)
    write_search_folder(other := spec.folder.with_name("other"))
    shutil.copy(marks, other)
    theirs = mine.replace(name="other")
    theirs.save(other / "spec.yaml")
    with pytest.raises(UsageError):  # the mark of another search
        check_trusted(theirs)


def test_the_key_is_the_users_alone(spec, state):
    mine = spec.replace(address="h:1")
    save_own(mine)
    key = state / strangers.KEY_NAME
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    key.chmod(0o644)  # others may have read it
    with pytest.raises(UsageError):
        check_trusted(mine)


def test_a_home_that_cannot_be_written_costs_a_word_of_trust(spec, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/x")
    mine = spec.replace(address="h:1")
    save_own(mine)
    with pytest.raises(UsageError):
        check_trusted(mine)
    check_trusted(mine, trust=True)


def test_links_and_special_files_are_refused(spec, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (spec.folder / "weights").mkdir(exist_ok=True)
    for place in ("journal.link", "weights/best.safetensors"):
        link = spec.folder / place
        link.symlink_to(outside)
        with pytest.raises(UsageError, match=r"is a symbolic link, which no search makes"):
            check_entries(spec.folder)
        link.unlink()
    os.mkfifo(spec.folder / "pipe")
    with pytest.raises(UsageError, match=r"pipe is no file, which no search makes"):
        check_entries(spec.folder)
    assert outside.read_text() == "precious"


def test_reading_a_trapped_spec_runs_nothing(spec, tmp_path):
    sprung = tmp_path / "sprung"
    trap = f"!!python/object/apply:os.system ['touch {sprung}']"
    (spec.folder / "spec.yaml").write_text(trap)
    with pytest.raises(UsageError, match=r"spec\.yaml: "):
        load_search(spec.folder)
    assert not sprung.exists()
