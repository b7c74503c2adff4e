"""A backup's file: what goes in comes out, and nothing else ever does."""

import dataclasses
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_server import archive
from mlflow_server.archive import Manifest, unpack, writing
from mlflow_server.errors import ServerError, StoreError

names = st.lists(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=60
    ).filter(lambda part: part not in {".", ".."}),
    min_size=1,
    max_size=3,
).map(lambda parts: "/".join(["artifacts", *parts]))


def manifest(members):
    return Manifest(
        mlflow_version="3.17.2",
        created="2026-11-25T05:00:00+00:00",
        runs_dirs=["/runs"],
        databases={},
        artifacts="/runs/mlartifacts",
        left_out=[],
        members=members,
    )


def write(path, files):
    """A good archive of `files`, name -> bytes."""
    source = path.with_name("source")
    with writing(path) as writer:
        for name, content in files.items():
            source.write_bytes(content)
            writer.add(source, name)
        writer.finish(manifest(dict(writer.members)))
    return path


@given(st.dictionaries(names, st.binary(max_size=3000), max_size=4))
def test_what_goes_in_comes_out(files):
    taken = set()
    for name in list(files):  # no file is also a folder
        parents = {str(parent) for parent in Path(name).parents}
        if parents & taken or any(other.startswith(f"{name}/") for other in taken):
            del files[name]
        else:
            taken.add(name)
    with tempfile.TemporaryDirectory() as scratch:
        path = write(Path(scratch, "b.tar.gz"), files)
        out = Path(scratch, "out")
        out.mkdir()
        read = unpack(path, out)
        found = {str(it.relative_to(out)): it.read_bytes() for it in out.rglob("*") if it.is_file()}
        assert found == files
        assert read == manifest(read.members)
        assert {name: member.size for name, member in read.members.items()} == {
            name: len(content) for name, content in files.items()
        }


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def good(tmp_path):
    content = {f"artifacts/{number}": bytes([number]) * 70_000 for number in range(3)}
    return write(tmp_path / "b.tar.gz", content)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_one_that_was_cut_off(kept, good, out):
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StoreError, match="is no backup, or "):
        unpack(good, out)


def test_one_flipped_bit(tmp_path, out):
    path = write(tmp_path / "b.tar.gz", {"artifacts/a": b"x" * 512, "artifacts/b": b"y" * 512})
    with tarfile.open(path) as tar:
        parts = [(info, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w:gz") as tar:
        for info, content in parts:
            spoilt = content.replace(b"yy", b"yz", 1) if info.name.endswith("b") else content
            tar.addfile(info, io.BytesIO(spoilt))
    with pytest.raises(StoreError, match="is damaged: artifacts/b is not what its manifest says"):
        unpack(path, out)


def evil(path, info, content=b""):
    with tarfile.open(path, "w:gz") as tar:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return path


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "info",
    [
        tarfile.TarInfo("artifacts/../../escaped"),
        tarfile.TarInfo("/artifacts/escaped"),
        tarfile.TarInfo("escaped"),
        tarfile.TarInfo("databases"),
        link("artifacts/a", tarfile.SYMTYPE, "/etc/passwd"),
        link("artifacts/a", tarfile.LNKTYPE, "manifest.json"),
        link("artifacts/a", tarfile.CHRTYPE, ""),
        link("artifacts/a", tarfile.DIRTYPE, ""),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_no_member_climbs_out(info, tmp_path, out):
    path = evil(tmp_path / "b.tar.gz", info, b"" if info.linkname else b"evil")
    with pytest.raises(StoreError, match="is nothing that a backup holds"):
        unpack(path, out)
    assert list(out.iterdir()) == []
    assert sorted(it.name for it in tmp_path.iterdir()) == ["b.tar.gz", "out"]


def test_a_member_twice_or_unknown(tmp_path, out):
    path = tmp_path / "b.tar.gz"
    source = tmp_path / "source"
    source.write_bytes(b"one")
    with writing(path) as writer:
        writer.add(source, "artifacts/a")
        told = dict(writer.members)
        writer.add(source, "artifacts/b")
        writer.finish(manifest(told))
    with pytest.raises(StoreError, match="artifacts/b is not what its manifest says"):
        unpack(path, out)
    with writing(path) as writer:
        writer.add(source, "artifacts/c")
        writer.add(source, "artifacts/c")
        writer.finish(manifest(dict(writer.members)))
    with pytest.raises(StoreError, match=r"cannot be unpacked: .*File exists"):
        unpack(path, out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "a backup of format 2, 1 is understood"),
        ({"members": None}, "its manifest lacks "),
        ({"colour": "red"}, "its manifest lacks "),
    ],
)
def test_another_manifest(change, message, tmp_path, out):
    text = json.dumps(dataclasses.asdict(manifest({})) | change).encode()
    path = evil(tmp_path / "b.tar.gz", tarfile.TarInfo(archive.MANIFEST), text)
    with pytest.raises(StoreError, match=message):
        unpack(path, out)


def test_other_files(tmp_path, out):
    with pytest.raises(StoreError, match=r"there is no backup .*absent\.tar\.gz"):
        unpack(tmp_path / "absent.tar.gz", out)
    (tmp_path / "text").write_text("a diary " * 1000)
    with pytest.raises(StoreError, match="is no backup, or a damaged one"):
        unpack(tmp_path / "text", out)


def test_no_room(good, out, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 2**20))
    with pytest.raises(StoreError, match="has 1 MiB free, and to unpack the backup 16 MiB are ne"):
        unpack(good, out)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    with (
        pytest.raises(ServerError, match="artifacts/a became shorter while it was read: make the"),
        writing(tmp_path / "b.tar.gz") as writer,
    ):
        writer.add_stream(io.BytesIO(b"x" * 9_999), "artifacts/a", 10_000)
