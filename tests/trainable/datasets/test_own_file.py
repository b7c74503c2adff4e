"""The user's own file: three formats, the split, and a line for everything that is wrong."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.errors import UsageError


def documents(count=60):
    """Three labels; `c` is rare; document 5 has none."""
    rows = []
    for n in range(count):
        labels = ["a"] if n % 2 else ["b"]
        labels += ["c"] if n % 15 == 3 else []
        rows.append({"text": f'text number {n}, "quoted"\nand more', "labels": labels})
    rows[5]["labels"] = []
    return rows


def with_splits(rows, names=("train", "train", "val", "test")):
    return [{**row, "split": names[n % len(names)]} for n, row in enumerate(rows)]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "labels": ";".join(row["labels"])} for row in rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def load(path, **settings):
    return load_dataset(TrialConfig(dataset="file", data_path=str(path), **settings))


def refusal(path, **settings):
    with pytest.raises(UsageError) as caught:
        load(path, **settings)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def refused_lines(tmp_path, lines, name="data.jsonl", **settings):
    path = tmp_path / name
    path.write_text("\n".join(lines))
    return refusal(path, **settings).removeprefix(f"{path}, ")


def rows_of(data):
    return {
        text: {data.label_names[label] for label in labels}
        for part in (data.train, data.val, data.test)
        for text, labels in zip(part.texts, part.labels, strict=True)
    }


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_gives_the_same_documents(tmp_path, suffix):
    rows = documents()
    data = load(write(tmp_path / f"tickets{suffix}", rows))
    assert data.name == "tickets"
    assert data.label_names == ("a", "b", "c")
    assert rows_of(data) == {row["text"]: set(row["labels"]) for row in rows}
    assert (len(data.train), len(data.val), len(data.test)) == (48, 6, 6)
    assert "thirds of the labels by training count" in data.group_rule


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_split_column_decides(tmp_path, suffix):
    rows = with_splits(documents())
    data = load(write(tmp_path / f"d{suffix}", rows), split_seed=5)
    for name in ("train", "val", "test"):
        expected = [row["text"] for row in rows if row["split"] == name]
        assert list(data.split(name).texts) == expected


def test_without_val_a_tenth_of_train_is_taken(tmp_path):
    rows = with_splits(documents(100), ("train", "train", "train", "train", "test"))
    path = write(tmp_path / "d.jsonl", rows)
    data = load(path)
    assert (len(data.train), len(data.val), len(data.test)) == (72, 8, 20)
    assert set(data.test.texts) == {row["text"] for row in rows if row["split"] == "test"}
    assert load(path, split_seed=9).val.ids != data.val.ids
    assert load(path).fingerprint == data.fingerprint


def test_ids_are_lines(tmp_path):
    path = tmp_path / "d.jsonl"
    rows = with_splits(documents(12), ("val", "train", "train", "train", "test"))
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n\n".join(lines))
    assert load(path).val.ids == ("1", "11", "21")
    table = write(tmp_path / "d.csv", rows)
    # every text of the CSV runs over two lines, under one line of header
    assert load(table).val.ids == ("2", "12", "22")


def test_other_columns_and_another_separator(tmp_path):
    path = tmp_path / "d.csv"
    lines = [f"{n},body {n},{'x|y' if n % 2 else ' x | '},{n % 3}" for n in range(30)]
    path.write_text("\n".join(["id,body,tags,fold", *lines]))
    data = load(path, text_column="body", labels_column="tags", label_separator="|")
    assert data.label_names == ("x", "y")
    assert rows_of(data)["body 3"] == {"x", "y"}
    assert rows_of(data)["body 4"] == {"x"}


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    for name, text in (("d.csv", "text,labels\n"), ("d.jsonl", "")):
        rows = [
            f"t{n},a" if name == "d.csv" else f'{{"text":"t{n}","labels":["a"]}}' for n in range(12)
        ]
        path = tmp_path / name
        path.write_text("\ufeff" + text + "\n".join(rows), encoding="utf-8")
        assert load(path).label_names == ("a",)


def test_a_very_long_cell(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,labels\n" + "\n".join(f"{'word ' * 60_000}{n},a" for n in range(10)))
    assert len(load(path).train) == 8
    assert csv.field_size_limit() == 131_072


ROW = '{"text": "t", "labels": ["a"]}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "t", "labels": ["a"]', "not a JSON object (Expecting ',' delimiter"),
        ("[1]", "must be a JSON object, got list [1]"),
        ('{"txt": "t", "labels": ["a"]}',
         "no column 'text' for the text: did you mean 'txt'? Found 'txt', 'labels'; name it with "
         "text_column"),
        ('{"text": "t", "topics": ["a"]}',
         "no column 'labels' for the labels: Found 'text', 'topics'; name it with labels_column"),
        ('{"text": " \\n", "labels": ["a"]}', "'text' is empty: fill it or drop the line"),
        ('{"text": 3, "labels": ["a"]}', "'text' must be text, got int 3"),
        ('{"text": null, "labels": ["a"]}', "'text' must be text, got NoneType None"),
        ('{"text": "t", "labels": "a"}', "'labels' must be a list of strings, got str 'a'"),
        ('{"text": "t", "labels": null}', "'labels' must be a list of strings, got NoneType None"),
        ('{"text": "t", "labels": {"a": 1}}', "'labels' must be a list of strings, got dict"),
        ('{"text": "t", "labels": ["a", 2]}', "'labels' must hold strings, got int 2"),
        ('{"text": "t", "labels": [" "]}', "'labels' holds an empty label"),
        ('{"text": "\\ud800", "labels": ["a"]}', "not valid Unicode (surrogates not allowed)"),
        ('{"text": "t", "labels": ["a"], "split": "trian"}',
         "column 'split': unknown split 'trian': did you mean 'train'? Allowed: train, val, test"),
        ("[" * 100_000, "not a JSON object ("),
    ],
)  # fmt: skip
def test_wrong_lines(tmp_path, line, message):
    assert refused_lines(tmp_path, [ROW, "", line, ROW]).startswith(f"line 3: {message}")


def test_a_split_on_some_lines_only(tmp_path):
    lines = ['{"text": "t", "labels": ["a"], "split": "train"}', ROW]
    assert refused_lines(tmp_path, lines) == "line 2: no 'split', which other lines have"


def test_bytes_that_are_not_utf_8(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_bytes(ROW.encode() + b'\n{"text": "caf\xe9", "labels": ["a"]}\n')
    assert refusal(path) == f"{path}, line 2: not UTF-8 (invalid continuation byte)"
    path = tmp_path / "d.csv"
    path.write_bytes(b"text,labels\nfine,a\ncaf\xe9,b\n")
    assert refusal(path) == f"{path}, line 3: not UTF-8 (invalid continuation byte)"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["text;labels", "t;a"], "line 1: no column 'text' for the text: did you mean "
         "'text;labels'? Found 'text;labels'; name it with text_column"),
        (["text,labels,text", "t,a,t"], "line 1: column 'text' occurs 2 times"),
        (["text,labels", "t,a", "t,b,c"],
         "line 3: 3 cells under 2 columns: quote the text"),
        (["text,labels", '"two', 'lines",a', "t"], "line 4: 1 cells under 2 columns"),
        (["text,labels", "t,a", ",b"], "line 3: 'text' is empty: fill it or drop the line"),
        (["text,labels", '"never closed,a'], "line 2: not valid CSV (unexpected end of data)"),
        (["text,labels,split", "t,a,train", "t,a,"], "line 3: column 'split': unknown split ''"),
    ],
)  # fmt: skip
def test_wrong_csv(tmp_path, lines, message):
    assert refused_lines(tmp_path, lines, "d.csv").startswith(message)


def test_a_named_split_column_must_exist(tmp_path):
    found = refused_lines(tmp_path, ["text,labels,folds", "t,a,x"], "d.csv", split_column="fold")
    assert found == (
        "line 1: no column 'fold' for the split: did you mean 'folds'? Found 'text', 'labels', "
        "'folds'; name it with split_column"
    )


def test_wrong_parquet(tmp_path):
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1 not really")
    assert refusal(path).startswith(f"--data '{path}' is no Parquet file, or damaged: ")
    good = write(tmp_path / "good.parquet", documents()).read_bytes()
    path.write_bytes(good[:-20])
    assert refusal(path).startswith(f"--data '{path}' is no Parquet file, or damaged: ")
    pq.write_table(pa.table({"text": ["t"], "label": [["a"]]}), path)
    assert refusal(path) == (
        f"{path}, row 1: no column 'labels' for the labels: did you mean 'label'? "
        "Found 'text', 'label'; name it with labels_column"
    )
    pq.write_table(pa.table({"text": ["t", None], "labels": [["a"], ["b"]]}), path)
    assert refusal(path) == f"{path}, row 2: 'text' must be text, got NoneType None"
    pq.write_table(pa.table({"text": ["t"] * 20, "labels": ["a;b"] * 20}), path)
    assert load(path).label_names == ("a", "b")


def test_files_that_are_none(tmp_path):
    missing = tmp_path / "none.jsonl"
    assert refusal(missing) == (
        f"--data '{missing}' does not exist: give a .jsonl, .csv or .parquet file"
    )
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert refusal(folder) == (
        f"--data '{folder}' is a folder: give a .jsonl, .csv or .parquet file"
    )
    text = tmp_path / "d.txt"
    text.write_text("x")
    assert refusal(text) == (
        f"own data must be a file ending in .jsonl, .csv, .parquet, got '{text}'"
    )
    with pytest.raises(UsageError, match="dataset 'file' needs --data PATH to a"):
        load_dataset(TrialConfig(dataset="file"))


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_empty_files(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert refusal(path) == f"--data '{path}' holds no documents"


def test_a_header_alone(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,labels\n")
    assert refusal(path) == f"--data '{path}' holds no documents"


def test_no_labels_anywhere(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "t", "labels": []}\n' * 20)
    assert refusal(path) == (
        f"no document in {path} has a label in column 'labels': nothing to learn"
    )


def test_too_few_documents_to_split(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(f"{ROW}\n" * 9)
    assert refusal(path) == (
        f"{path} holds 9 documents: at least 10 are needed to split 80/10/10; "
        "add some, or a 'split' column"
    )


def test_a_label_that_training_does_not_know(tmp_path):
    rows = with_splits(documents(40))
    rows[7]["labels"] = ["a", "surprise"]
    path = write(tmp_path / "d.jsonl", rows)
    assert refusal(path) == (
        f"{path}, line 8: label 'surprise' of a test document is in no train document: "
        "give it one, or drop the label"
    )


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_split_column_without_train_or_test(tmp_path, missing):
    names = [name for name in ("train", "val", "test") if name != missing]
    path = write(tmp_path / "d.jsonl", with_splits(documents(), names))
    assert refusal(path) == f"{path}: column 'split' has no '{missing}' document"


def test_all_labels_distinct_leave_nothing_to_validate(tmp_path):
    path = tmp_path / "d.jsonl"
    lines = [f'{{"text": "t", "labels": ["l{n}"]}}' for n in range(12)]
    path.write_text("\n".join(lines))
    assert refusal(path) == (
        f"{path}: a training document for every label leaves none for val; add documents, or a "
        "'split' column"
    )
