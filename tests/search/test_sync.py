"""`python -m search sync`: one line of success, one line of each failure."""

import json
import shutil

import pytest

from search.cli import main
from search.tracking.check import default_tracking_uri
from search.tracking.lock import SendingLock
from search.tracking.store import connect
from tests.search_folder import START, TRIALS, append_events, write_search_folder
from tests.tracked import FaultyServer, answers, runs_of

NUM_RUNS = 1 + len(TRIALS)


@pytest.fixture
def runs(tmp_path, fresh_database):
    """A runs folder with one search, of which the store knows nothing yet."""
    write_search_folder(tmp_path / "runs" / "mine")
    shutil.copyfile(fresh_database, tmp_path / "runs" / "mlflow.db")
    return tmp_path / "runs"


def run(capsys, *argv):
    """Exit code, standard output and standard error of the command."""
    code = main(["sync", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_search_is_recorded_and_the_second_time_it_was(runs, capsys):
    uri = default_tracking_uri(runs)
    line = f"mine: {NUM_RUNS} runs in {uri}"
    code, out, err = run(capsys, "mine", "--runs-dir", runs)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{line}, {NUM_RUNS} of them new"
    assert len(runs_of(connect(uri))) == NUM_RUNS
    code, out, _ = run(capsys, "mine", "--runs-dir", runs)
    assert (code, out.splitlines()[-1]) == (0, f"{line}, as before")


def test_json(runs, capsys):
    code, out, _ = run(capsys, "mine", "--runs-dir", runs, "--json")
    told = json.loads(out)
    assert code == 0
    assert told.pop("search_id").startswith("mine-")
    assert told == {
        "name": "mine",
        "store": default_tracking_uri(runs),
        "runs": NUM_RUNS,
        "new": NUM_RUNS,
    }


def test_another_store(runs, tmp_path, fresh_database, capsys):
    other = tmp_path / "other.db"
    shutil.copyfile(fresh_database, other)
    code, out, _ = run(capsys, "mine", "--runs-dir", runs, "--tracking-uri", f"sqlite:///{other}")
    assert (code, f"in sqlite:///{other}," in out) == (0, True)
    assert len(runs_of(connect(f"sqlite:///{other}"))) == NUM_RUNS


def test_all_searches(runs, capsys):
    write_search_folder(runs / "broken")
    append_events(runs / "broken", [{"event": "epoch", "trial": 77, "time": START}])
    empty = write_search_folder(runs / "new")
    (empty / "journal.jsonl").unlink()
    code, out, err = run(capsys, "--all", "--runs-dir", runs)
    assert code == 1
    assert [line for line in out.splitlines() if ":" in line] == [
        f"mine: {NUM_RUNS} runs in {default_tracking_uri(runs)}, {NUM_RUNS} of them new",
        "new: no trial has started, nothing to record",
    ]
    [line] = err.splitlines()
    assert line.startswith("warning: broken: ")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["mien"], 2, "error: unknown search 'mien': did you mean 'mine'? Allowed: mine"),
        ([], 2, "error: give the NAME of a search, or --all: see `python -m search sync --help`"),
        (["mine", "--all"], 2, "error: give the NAME of a search, or --all"),
        (
            ["mine", "--tracking-uri", "http://127.0.0.1:1"],
            2,
            "error: the tracking server http://127.0.0.1:1 cannot be used: Connection refused; "
            "start it",
        ),
        (["mine", "--tracking-uri", "postgresql://host/x"], 2, "error: tracking URI must start"),
    ],
)
def test_a_mistake_is_one_line(runs, capsys, argv, code, message):
    found, out, err = run(capsys, *argv, "--runs-dir", runs)
    assert (found, out) == (code, "")
    [line] = err.splitlines()
    assert line.startswith(message)


def test_a_folder_without_searches(tmp_path, capsys):
    code, _, err = run(capsys, "--all", "--runs-dir", tmp_path)
    assert (code, err) == (2, f"error: no searches in {tmp_path}; see --runs-dir\n")


def test_a_search_that_is_being_recorded(runs, capsys, monkeypatch):
    monkeypatch.setattr("search.tracking.catch_up._LOCK_TIMEOUT_S", 0.0)
    lock = SendingLock(runs / "mine")
    assert lock.acquire()
    code, out, err = run(capsys, "mine", "--runs-dir", runs)
    lock.release()
    assert (code, out) == (2, "")
    assert err == (
        "error: search 'mine' is being recorded by another process, which sends what is missing: "
        "wait for its end\n"
    )


def test_a_server_that_fails_in_between_is_one_line(runs, capsys, monkeypatch):
    """The check of the address finds nothing wrong; what comes later does."""
    listing = b'{"experiments": []}'
    fine = answers("200 OK", listing, "application/json")
    broken = answers("503 Service Unavailable")

    asked = []

    def app(environ, start_response):
        asked.append(environ)
        listed = "max_results=1" in environ["QUERY_STRING"]
        return (fine if listed else broken)(environ, start_response)

    server = FaultyServer(app)
    with_password = server.uri.replace("http://", "http://ann:s3cret@")
    failed = (
        f"error: MLflow: {server.uri} does not record 'mine': it answers with HTTP 503; what is "
        "missing is sent by the same command later\n"
    )
    told = run(capsys, "mine", "--runs-dir", runs, "--tracking-uri", with_password)
    assert told[:2] == (1, "")
    warning, _, rest = told[2].partition("\n")
    assert warning.endswith("put the address into $LONGTAIL_TRACKING_URI instead")
    assert rest == failed
    monkeypatch.setenv("LONGTAIL_TRACKING_URI", with_password)
    told = run(capsys, "mine", "--runs-dir", runs, "--tracking-uri", server.uri)
    assert told == (1, "", failed)
    assert {request.get("HTTP_AUTHORIZATION") for request in asked} == {"Basic YW5uOnMzY3JldA=="}
    server.stop()


def test_a_strangers_folder_is_sent_only_where_the_user_says(runs, capsys):
    """What it names would be told with this user's password."""
    own = f"sqlite:///{runs / 'mlflow.db'}"
    spec = runs / "mine" / "spec.yaml"
    spec.write_text(
        spec.read_text().replace("tracking_uri: null", "tracking_uri: http://127.0.0.1:9")
    )
    code, out, err = run(capsys, "mine", "--runs-dir", runs)
    assert (code, out) == (2, "")
    assert "'mine' has no mark that you began it with these values on this machine" in err
    assert "would record in http://127.0.0.1:9 with your rights" in err
    assert "Say where to with --tracking-uri" in err
    code, _, err = run(capsys, "mine", "--runs-dir", runs, "--tracking-uri", own)
    assert (code, err) == (0, "")
    (runs / "mine" / "versions.json").unlink()
    (runs / "mine" / "versions.json").symlink_to("/etc/passwd")
    code, out, err = run(capsys, "mine", "--runs-dir", runs, "--tracking-uri", own)
    assert (code, out) == (2, "")
    assert "versions.json is a symbolic link, which no search makes" in err
