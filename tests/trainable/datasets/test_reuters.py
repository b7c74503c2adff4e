"""Reuters: the rules, the split, the layouts, on an invented corpus; every way it can be wrong."""

import functools
import hashlib
import http.server
import random
import re
import shutil
import threading

import pytest

from tests.reuters_copy import (
    SGML_NAMES,
    TRAIN,
    invented,
    nltk_files,
    sgml,
    sgml_files,
    write_folder,
    write_tar,
    write_zip,
)
from trainable.config import TrialConfig
from trainable.datasets import load_dataset, reuters
from trainable.datasets.reuters import build_reuters, paper_split, read_reuters
from trainable.datasets.reuters_files import ReutersDocument, clean_text
from trainable.errors import UsageError, one_line


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("REUTERS_DATA", raising=False)


@pytest.fixture(scope="module")
def documents():
    return invented()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, documents):
    return write_folder(tmp_path_factory.mktemp("sgml"), sgml_files(documents))


def load(path, **settings):
    return load_dataset(TrialConfig(data_path=str(path), **settings))


def refusal(path, **settings):
    with pytest.raises(UsageError) as caught:
        load(path, **settings)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return one_line(caught.value)


def test_documents_labels_and_split(folder, documents):
    data = load(folder)
    assert data.name == "reuters"
    assert data.source == str(folder)
    assert data.label_names == ("apples", "pears", "plums", "quinces")
    assert (len(data.train), len(data.val), len(data.test)) == (TRAIN - 1000, 1000, 66)
    truth = {str(doc.number): doc for doc in documents}
    for split in (data.train, data.val, data.test):
        for number, text, labels in zip(split.ids, split.texts, split.labels, strict=True):
            assert text == truth[number].text
            assert {data.label_names[label] for label in labels} == set(truth[number].topics)
    assert list(data.test.ids) == sorted(data.test.ids, key=int)


def test_the_split_is_scikit_learns_over_numeric_order(folder, documents):
    from sklearn.model_selection import train_test_split

    ids = [str(doc.number) for doc in sorted(documents) if doc.part == "train"]
    for seed in (123, 7):
        train, val = train_test_split(ids, random_state=seed, test_size=1000)
        data = load(folder, split_seed=seed)
        assert set(data.train.ids) == set(train)
        assert set(data.val.ids) == set(val)
    assert paper_split(7770, 123)[1] != paper_split(7770, 124)[1]


def test_only_the_documents_that_the_rules_keep(tmp_path, documents):
    odd = documents[0]
    extra = "".join(
        [
            sgml(odd._replace(number=90_001), split="NOT-USED"),
            sgml(odd._replace(number=90_002), has_topics="NO"),
            sgml(odd._replace(number=90_003), has_topics="BYPASS"),
            sgml(odd._replace(number=90_004, topics=())),
            # a topic of training alone goes, and so does the document that has no other
            sgml(odd._replace(number=90_005, topics=("ghost",))),
            sgml(odd._replace(number=90_006, topics=("ghost", "pears"))),
            # 5467 and 19918 of the real corpus list a topic twice
            sgml(odd._replace(number=90_007, topics=("plums", "plums"))),
        ]
    )
    folder = write_folder(tmp_path, sgml_files(documents, {"reut2-021.sgm": extra}))
    data = load(folder)
    labels = {
        number: row
        for split in (data.train, data.val)
        for number, row in zip(split.ids, split.labels, strict=True)
    }
    assert "ghost" not in data.label_names
    assert {number for number in labels if int(number) > 90_000} == {"90006", "90007"}
    assert labels["90006"] == (data.label_names.index("pears"),)
    assert labels["90007"] == (data.label_names.index("plums"),)


@pytest.mark.parametrize(
    ("sgml_text", "expected"),
    [
        ("<TITLE>A</TITLE><BODY>b  c\n    d\n Reuter\n&#3;</BODY>", "A b c d"),
        ("<TITLE>ONLY A TITLE</TITLE>", "ONLY A TITLE"),
        ("<BODY>no title</BODY>", "no title"),
        ("&#2;\n****UNPROC ALL OF IT\n and more\n\n REUTER\n&#3;", "****UNPROC ALL OF IT and more"),
        ("<AUTHOR>    by me</AUTHOR><TITLE>T</TITLE><BODY>b</BODY>", "T b"),
        (
            "<TITLE>&lt;Pip> &amp; SONS</TITLE><BODY>M\xfcnchen&#127;x&#30;y</BODY>",
            "<Pip> & SONS M\xfcnchen x y",
        ),
        ("<TITLE>R&amp;D</TITLE><BODY>A&B &copy S&PARA</BODY>", "R&D A&B &copy S&PARA"),
        ("<TITLE>T</TITLE><BODY>so told Reuters</BODY>", "T so told Reuters"),
    ],
)
def test_the_text_of_a_document(tmp_path, documents, sgml_text, expected):
    # the right half is whatever the markup of TEXT is
    block = sgml(documents[1]._replace(number=90_001))
    block = re.sub(r"(?s)<TEXT>.*</TEXT>", lambda _: f'<TEXT TYPE="X">{sgml_text}</TEXT>', block)
    folder = write_folder(tmp_path, sgml_files(documents, {"reut2-000.sgm": block}))
    found = {doc.number: doc.text for doc in read_reuters(folder)}
    assert found[90_001] == expected


def test_cleaning_leaves_no_control_characters_and_is_stable():
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(chr(rng.choice((*range(32), 127, *range(33, 60), 0xFC))) for _ in range(40))
        cleaned = clean_text(text)
        assert not re.search(r"[\x00-\x1f\x7f]|  ", cleaned)


def test_both_layouts_in_every_container_are_the_same_data(tmp_path, folder, documents):
    files = sgml_files(documents)
    nltk = nltk_files(documents)
    places = {
        "tar": write_tar(tmp_path / "r.tar.gz", files),
        "tgz": write_tar(tmp_path / "r.tgz", files, prefix="reuters21578/"),
        "sgml zip": write_zip(tmp_path / "s.zip", files),
        "one folder down": write_folder(tmp_path / "a" / "reuters21578", files).parent,
        "archive in a folder": write_tar(_made(tmp_path / "b") / "r.tar.gz", files).parent,
        "nltk": write_folder(tmp_path / "c" / "reuters", nltk),
        "nltk one down": tmp_path / "c",
        "nltk zip": write_zip(tmp_path / "n.zip", nltk),
        "nltk bare zip": write_zip(tmp_path / "m.zip", nltk, prefix="./"),
    }
    expected = load(folder).fingerprint
    assert {name: load(place).fingerprint for name, place in places.items()} == dict.fromkeys(
        places, expected
    )


def _made(folder):
    folder.mkdir()
    return folder


def test_the_environment_says_where_and_data_wins(monkeypatch, folder, tmp_path):
    monkeypatch.setenv("REUTERS_DATA", str(folder))
    assert load_dataset(TrialConfig()).source == str(folder)
    monkeypatch.setenv("REUTERS_DATA", str(tmp_path / "nowhere"))
    assert load(folder).source == str(folder)


def test_the_cached_package_needs_no_network(monkeypatch, tmp_path, documents):
    (tmp_path / "reuters").mkdir()
    package = write_zip(tmp_path / "reuters" / "reuters.zip", nltk_files(documents))
    monkeypatch.setattr(reuters, "PACKAGE_URL", "http://127.0.0.1:9/reuters.zip")
    monkeypatch.setattr(reuters, "PACKAGE_MD5", hashlib.md5(package.read_bytes()).hexdigest())
    data = load_dataset(TrialConfig(), cache_dir=tmp_path)
    assert data.source == str(package)
    assert len(data.val) == 1000


@pytest.mark.parametrize("cached", [None, b"not the package"])
def test_offline_without_data_names_the_three_ways_out(monkeypatch, tmp_path, cached):
    if cached:
        write_folder(tmp_path / "reuters", {"reuters.zip": cached})
    monkeypatch.setattr(reuters, "PACKAGE_URL", "http://127.0.0.1:9/reuters.zip")
    with pytest.raises(UsageError) as caught:
        load_dataset(TrialConfig(), cache_dir=tmp_path)
    assert one_line(caught.value) == (
        f"dataset 'reuters' is not on this machine and could not be downloaded into '{tmp_path}' "
        "(ConnectionError). Three ways out: --data PATH to a copy (SGML or NLTK layout), "
        "REUTERS_DATA=PATH in the environment, or a network for the download (6 MB)"
    )
    assert caught.value.exit_code == 2


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The package on this machine's loopback; a function that stops serving it."""
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    package = write_zip(served / "reuters.zip", nltk_files(invented()))
    url = f"http://127.0.0.1:{server.server_port}/reuters.zip"
    monkeypatch.setattr(reuters, "PACKAGE_URL", url)
    monkeypatch.setattr(reuters, "PACKAGE_MD5", hashlib.md5(package.read_bytes()).hexdigest())
    yield server
    server.shutdown()
    server.server_close()


def test_the_download_is_checked_kept_and_shown(served, tmp_path, capfd):
    cache = tmp_path / "cache"
    data = load_dataset(TrialConfig(), cache_dir=cache)
    assert data.source == str(cache / "reuters" / "reuters.zip")
    assert "100%" in capfd.readouterr().err
    served.shutdown()
    assert load_dataset(TrialConfig(), cache_dir=cache) == data


@pytest.mark.usefixtures("served")
def test_a_download_that_is_not_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(reuters, "PACKAGE_MD5", "0" * 32)
    cache = tmp_path / "cache"
    with pytest.raises(UsageError, match=r"could not be downloaded into .* \(wrong checksum\)"):
        load_dataset(TrialConfig(), cache_dir=cache)
    assert list((cache / "reuters").iterdir()) == []


def test_missing_empty_and_foreign_data(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert refusal(nowhere) == (
        f"--data '{nowhere}' does not exist: give a folder, a .tar.gz or a .zip"
    )
    empty = _made(tmp_path / "empty")
    assert refusal(empty) == f"--data '{empty}' is an empty folder"
    blank = tmp_path / "blank.tar.gz"
    blank.touch()
    assert refusal(blank) == f"--data '{blank}' is an empty file: copy or download it again"
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert refusal(text) == f"--data '{text}' must be a folder, a .tar.gz or a .zip"
    other = write_folder(tmp_path / "other", {f"{n}.csv": b"x" for n in range(5)})
    message = (
        " is no copy of Reuters-21578: it must hold reut2-000.sgm .. reut2-021.sgm, or cats.txt "
        "with training/ and test/; found 0.csv, 1.csv, 2.csv, ..."
    )
    assert refusal(other) == f"--data '{other}'{message}"
    packed = write_zip(tmp_path / "other.zip", {f"{n}.csv": b"x" for n in range(5)}, prefix="")
    assert refusal(packed) == f"--data '{packed}'{message}"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_truncated_archives(tmp_path, documents, kind, share):
    if kind == "tar":
        path = write_tar(tmp_path / "r.tar.gz", sgml_files(documents))
    else:
        path = write_zip(tmp_path / "r.zip", nltk_files(documents))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    message = refusal(path)
    assert message.startswith(f"--data '{path}' is damaged or truncated (")
    assert message.endswith("): copy or download it again")


def test_a_flipped_byte_in_an_archive(tmp_path, documents):
    path = write_zip(tmp_path / "r.zip", nltk_files(documents))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    assert "is damaged or truncated" in refusal(path)


def test_incomplete_copies(tmp_path, documents):
    files = sgml_files(documents)
    del files["reut2-003.sgm"]
    lacking = write_folder(tmp_path / "lacking", files)
    assert refusal(lacking) == (
        f"--data '{lacking}' must hold all 22 SGML files of Reuters-21578, but lacks "
        "'reut2-003.sgm': copy the distribution again"
    )
    files = sgml_files(documents)
    files[SGML_NAMES[0]] = files[SGML_NAMES[0]][:-40]
    cut = write_folder(tmp_path / "cut", files)
    assert refusal(cut) == (
        f"--data '{cut}': reut2-000.sgm is cut off (53 documents begin, 52 end): "
        "copy the distribution again"
    )
    nltk = write_folder(tmp_path / "nltk", nltk_files(documents))
    (nltk / "training" / "3").unlink()
    assert re.fullmatch(
        rf"--data '{nltk}': cats.txt line \d+ names training/3, which is missing: "
        "copy or download it again",
        refusal(nltk),
    )
    (nltk / "cats.txt").write_text("training/1 pears\n\nelsewhere/2 pears\n")
    assert refusal(nltk) == (
        f"--data '{nltk}': cats.txt line 3 must begin with training/NUMBER or test/NUMBER, "
        "got 'elsewhere/2'"
    )
    shutil.rmtree(nltk)
    few = write_folder(tmp_path / "few", nltk_files(invented(train=1000, test=6)))
    assert refusal(few) == (
        f"dataset 'reuters' ({few}): the split takes 1000 training documents for validation, "
        "but only 1000 have topics: is the copy complete?"
    )


def test_a_label_lost_from_training_is_named_and_another_seed_offered(tmp_path):
    documents = invented(train=2_000)
    single = next(doc for doc in documents if doc.part == "test")
    documents[0] = documents[0]._replace(topics=("apples", "medlars"))
    documents.append(single._replace(number=9_000, topics=("medlars",)))
    folder = write_folder(tmp_path / "r", nltk_files(documents))
    # document 1 holds the only `medlars`: place 0 in numeric order
    losing = next(seed for seed in range(50) if 0 in paper_split(2_000, seed)[1])
    message = refusal(folder, split_seed=losing)
    match = re.fullmatch(
        rf"dataset 'reuters' \({folder}\): every label needs a training document, but 'medlars' "
        r"has none; take another split seed: (\d+) keeps them all",
        message,
    )
    assert match, message
    kept = load(folder, split_seed=int(match[1]))
    assert "medlars" in kept.label_names


def test_groups_follow_the_papers_bounds(folder):
    data = load(folder)
    counts = [sum(label in row for row in data.train.labels) for label in range(4)]
    expected = ["head" if n >= 35 else "tail" if n <= 8 else "medium" for n in counts]
    assert list(data.groups) == expected
    assert data.group_rule == (
        "head >= 35, medium 9..34, tail <= 8 training documents (the paper's bounds)"
    )


def test_a_corpus_without_test_documents(documents):
    rows = [
        ReutersDocument(doc.number, "train", doc.text, doc.topics)
        for doc in documents
        if doc.part == "train"
    ]
    with pytest.raises(UsageError, match="only 0 have topics: is the copy complete"):
        build_reuters(rows, source="memory", split_seed=123)
