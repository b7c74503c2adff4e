"""Requests travel as files, to the owner of the folder and to nobody after it."""

import json

from search.lock import hold, owner
from search.stop_requests import ask_to_stop, take_requests


def test_requests_are_taken_once(tmp_path):
    with hold(tmp_path):
        ask_to_stop(tmp_path, 12)
        ask_to_stop(tmp_path)
        ask_to_stop(tmp_path, 3)
        assert sorted(r.trial for r in take_requests(tmp_path) if r.trial is not None) == [3, 12]
        assert take_requests(tmp_path) == []
        ask_to_stop(tmp_path)
        assert [request.trial for request in take_requests(tmp_path)] == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["search.lock"]


def test_what_an_earlier_process_was_asked_goes_unheard(tmp_path):
    with hold(tmp_path):
        path = ask_to_stop(tmp_path)
        request = json.loads(path.read_text())
        assert request["owner"] == owner(tmp_path)
        path.write_text(json.dumps({**request, "owner": "1 on elsewhere"}))
        assert take_requests(tmp_path) == []
        assert not path.exists()


def test_what_is_no_request_goes_unheard(tmp_path):
    with hold(tmp_path):
        (tmp_path / "stop-trial-00001.json").write_text("{")
        (tmp_path / "stop-trial-00002.json").write_text("[]")
        path = ask_to_stop(tmp_path, 3)
        path.write_text(path.read_text().replace("3", '"three"', 1))
        assert take_requests(tmp_path) == []
        assert list(tmp_path.glob("stop-*")) == []
