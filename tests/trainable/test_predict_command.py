"""`python -m trainable predict`: what it prints, and every mistake as one line."""

import csv
import io
import json
import subprocess
import sys
import time

import pytest

from tests.trained_folder import train_folder
from trainable.cli import main
from trainable.inference import Predictor


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_folder(tmp_path_factory.mktemp("all"))


@pytest.fixture(scope="module")
def expected(made):
    """The labels of the test documents."""
    predictor = Predictor.load(made.folder)
    return predictor.labels(predictor.probabilities(made.texts))


def predict(made, *arguments):
    return main(["predict", str(made.folder), *arguments])


def answers(text):
    return [json.loads(line) for line in text.splitlines()]


def names_of(labels):
    return [name for name, _ in labels]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_as_a_table(made, expected, capsys):
    some = next(n for n, labels in enumerate(expected) if labels)
    none = "w39 w38 w37"
    assert (
        predict(made, "--text", made.texts[some], "--text", f" {none}\n", "--threshold", "0.3") == 0
    )
    out = capsys.readouterr().out
    first, second = out.rstrip("\n").split("\n\n")
    assert [line.split()[0] for line in first.splitlines()[1:]] == names_of(expected[some])
    assert f"{expected[some][0][1]:.3f}" in first.splitlines()[1]
    assert second.splitlines()[0] == none
    assert max(map(len, out.splitlines())) <= 80


def test_a_text_without_a_label_says_so(made, capsys):
    assert predict(made, "--text", "w39", "--threshold", "0.999") == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("  no label; the most probable is ")


def test_a_file_comes_back_with_two_columns_more(made, expected, tmp_path, capsys):
    rows = [{"id": n, "text": text, "labels": ["gold"]} for n, text in enumerate(made.texts)]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    assert predict(made, "--file", str(path)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = answers(out)
    assert [{k: row[k] for k in ("id", "text", "labels")} for row in found] == rows
    assert [row["predicted"] for row in found] == [names_of(labels) for labels in expected]
    assert [row["probabilities"] for row in found] == [
        pytest.approx([prob for _, prob in labels]) for labels in expected
    ]
    for row in found:
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)


def test_csv_text_and_another_column(made, expected, tmp_path, capsys):
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["body", "id"], *([text, n] for n, text in enumerate(made.texts))])
    (tmp_path / "in.txt").write_text("\n\n".join(made.texts) + "\n")
    names = [names_of(labels) for labels in expected]
    assert predict(made, "--file", str(tmp_path / "in.csv"), "--text-column", "body") == 0
    found = answers(capsys.readouterr().out)
    assert [row["predicted"] for row in found] == names
    assert found[7]["id"] == "7"
    assert predict(made, "--file", str(tmp_path / "in.txt")) == 0
    found = answers(capsys.readouterr().out)
    assert [row["predicted"] for row in found] == names
    assert [row["text"] for row in found] == made.texts


def test_standard_input_to_a_new_file(made, expected, tmp_path, capsys, monkeypatch):
    text = "".join(json.dumps({"text": text}) + "\n" for text in made.texts)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    out = tmp_path / "out.jsonl"
    assert predict(made, "--file", "-", "--out", str(out)) == 0
    printed, err = capsys.readouterr()
    assert printed == ""
    without = sum(not labels for labels in expected)
    assert err.splitlines() == [
        f"50 documents, {without} of them without a label",
        f"answers written to {out}",
    ]
    assert [row["predicted"] for row in answers(out.read_text())] == list(map(names_of, expected))


def test_top_and_json(made, capsys):
    assert predict(made, "--text", "w1", "--text", "größe 🎈", "--top", "2", "--json") == 0
    out = capsys.readouterr().out
    assert [len(row["predicted"]) for row in answers(out)] == [2, 2]
    assert "größe 🎈" in out


def test_it_streams(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("trainable.inference._CHUNK_DOCS", 4)
    rows = [json.dumps({"text": "w1"})] * 8 + ["{"]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    assert predict(made, "--file", str(tmp_path / "in.jsonl")) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 8  # answered before the ninth line was read
    assert err.startswith(f"error: {tmp_path}/in.jsonl, line 9: not a JSON object (")
    out = tmp_path / "out.jsonl"
    assert predict(made, "--file", str(tmp_path / "in.jsonl"), "--out", str(out)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_progress_is_told(made, tmp_path, capsys, monkeypatch):
    path = write_jsonl(tmp_path / "in.jsonl", [{"text": "w1"}] * 12)
    monkeypatch.setattr("trainable.inference._CHUNK_DOCS", 4)
    clock = iter([0.0, 8.0, 16.0, 17.0])
    real = time.monotonic
    monkeypatch.setattr("trainable.predict_command._now", lambda: next(clock, real()))
    assert predict(made, "--file", str(path)) == 0
    assert capsys.readouterr().err.splitlines() == ["8 documents, 0.5 a second"]


def refused(made, capsys, *arguments, code=2):
    assert predict(made, *arguments) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no documents"),
        ("\n\n", "holds no documents"),
        ("[1]", "line 1: must be a JSON object, got list [1]"),
        ('\n{"texts": "a"}', "line 2: no column 'text': did you mean 'texts'? Found 'texts'; name"),
        ('{"text": null}', "line 1: 'text' must be text, got NoneType None"),
        ('{"text": "\\ud800"}', "line 1: not valid Unicode (surrogates not allowed)"),
        ('{"text": "a", "predicted": 1}', "have a column 'predicted' already, which is the answer"),
    ],
)
def test_a_file_that_is_wrong(made, tmp_path, capsys, content, message):
    (tmp_path / "in.jsonl").write_text(content)
    assert message in refused(made, capsys, "--file", str(tmp_path / "in.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"text,id\na\n", "line 2: 1 cells under 2 columns: quote the text"),
        ("in.csv", b'text\n"a\n', "not valid CSV (unexpected end of data)"),
        ("in.csv", b"", "holds no documents"),
        ("in.csv", b"text\n", "holds no documents"),
        ("in.csv", b"id\n1\n", "line 2: no column 'text': Found 'id'; name it with --text-column"),
        ("in.csv", b"text\n\xff\n", "not UTF-8 (invalid start byte)"),
        ("in.txt", b"fine\n\xff\n", "line 2: not UTF-8 (invalid start byte)"),
        ("in.jsonl", b"\xff\n", "line 1: not UTF-8 (invalid start byte)"),
        ("in.parquet", b"", "--file must end in .jsonl, .csv, .txt, or be -, got '"),
    ],
)
def test_a_file_of_another_kind_that_is_wrong(made, tmp_path, capsys, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refused(made, capsys, "--file", str(tmp_path / name))


def test_paths_that_are_wrong(made, tmp_path, capsys):
    path = tmp_path / "in.jsonl"
    found = refused(made, capsys, "--file", str(path))
    assert found == f"--file '{path}' does not exist: give a .jsonl, .csv, .txt file"
    path.mkdir()
    assert f"--file '{path}' is a folder" in refused(made, capsys, "--file", str(path))
    found = refused(made, capsys, "--text", "a", "--out", str(path))
    assert found == f"--out {path} exists: name a new file"
    found = refused(made, capsys, "--text", "a", "--out", str(tmp_path / "no" / "x"))
    assert found == f"--out {tmp_path}/no/x: {tmp_path}/no is not a folder you can write to"
    assert main(["predict", str(tmp_path / "no"), "--text", "a"]) == 2
    assert "does not exist: give one that" in capsys.readouterr().err


def test_an_argument_that_is_not_unicode(made, capsys):
    assert refused(made, capsys, "--text", "\udcff").startswith("--text: not valid Unicode (")


def test_a_disk_that_is_full(made, tmp_path, capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainable.predict_command._answer", full)
    out = tmp_path / "out.jsonl"
    found = refused(made, capsys, "--text", "a", "--out", str(out), code=1)
    assert found == f"--out {out} cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: MODEL"),
        (["m"], "one of the arguments --text --file is required"),
        (["m", "--text", "a", "--file", "b"], "--file: not allowed with argument --text"),
        (["m", "--text", "a", "--top", "x"], "--top: invalid int value: 'x'"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *arguments])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert error == f"error: {message}; see `python -m trainable predict --help`\n"


def test_as_a_module_a_mistake_costs_no_torch():
    command = [sys.executable, "-X", "importtime", "-m", "trainable", "predict", "m"]
    done = subprocess.run(
        [*command, "--text", "a", "--threshold", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: threshold must lie in (0, 1), got 2"
    assert "| torch\n" not in done.stderr
