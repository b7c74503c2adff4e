"""The cache of arrays: damage, full disks, and two processes that build at once."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainable.array_cache import ArrayCache

ROOT = Path(__file__).resolve().parents[2]


def build():
    return {
        "train.token_ids": np.arange(1000, dtype=np.int32),
        "train.token_offsets": np.array([0, 400, 1000]),
        "val.token_ids": np.empty(0, dtype=np.int32),
    }


def forbidden():
    raise AssertionError("built again")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(left, right):
    return all(np.array_equal(left[name], right[name]) for name in right)


def test_built_once_and_then_mapped(tmp_path):
    cache = ArrayCache(tmp_path / "deep" / "tokens")
    assert same(cache.fetch("key", build), build())
    found = cache.fetch("key", forbidden)
    assert same(found, build())
    assert isinstance(found["train.token_ids"].base, np.memmap)
    assert names(tmp_path / "deep" / "tokens") == ["key"]


def test_another_key_is_another_entry(tmp_path):
    cache = ArrayCache(tmp_path)
    cache.fetch("key", build)
    with pytest.raises(AssertionError, match="built again"):
        cache.fetch("other", forbidden)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [truncate, flip, Path.unlink, lambda path: path.write_bytes(b"")]
)
@pytest.mark.parametrize("name", ["train.token_ids.npy", "entry.json"])
def test_a_damaged_entry_is_rebuilt(tmp_path, name, damage):
    cache = ArrayCache(tmp_path)
    cache.fetch("key", build)
    damage(tmp_path / "key" / name)
    assert same(cache.fetch("key", build), build())
    assert same(cache.fetch("key", forbidden), build())
    assert names(tmp_path) == ["key"]


@pytest.mark.parametrize("listing", [[], {}, {"checksums": []}, {"checksums": {}}])
def test_a_listing_of_another_shape_is_rebuilt(tmp_path, listing):
    cache = ArrayCache(tmp_path)
    cache.fetch("key", build)
    (tmp_path / "key" / "entry.json").write_text(json.dumps(listing))
    assert same(cache.fetch("key", build), build())
    assert same(cache.fetch("key", forbidden), build())


def test_pickles_are_never_loaded(tmp_path):
    cache = ArrayCache(tmp_path)
    cache.fetch("key", build)
    np.save(tmp_path / "key" / "train.token_ids.npy", np.array([object()]), allow_pickle=True)
    assert same(cache.fetch("key", build), build())


def test_a_full_disk_costs_a_warning_and_leaves_nothing(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    folder = tmp_path / "tokens"
    assert same(ArrayCache(folder).fetch("key", build), build())
    assert caplog.messages == [
        f"tokens are kept in memory only: cache folder '{folder}' cannot be written "
        "(No space left on device); set LONGTAIL_CACHE to one that can"
    ]
    assert names(folder) == []


def test_errors_of_the_builder_pass_through(tmp_path):
    with pytest.raises(AssertionError, match="built again"):
        ArrayCache(tmp_path).fetch("key", forbidden)


def test_what_killed_processes_left_is_swept_after_a_day(tmp_path):
    old, young = tmp_path / ".unfinished-old", tmp_path / ".unfinished-young"
    for folder in (old, young):
        folder.mkdir()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    ArrayCache(tmp_path).fetch("key", build)
    assert names(tmp_path) == [".unfinished-young", "key"]


CONTENDER = """
import os, sys, time
import numpy as np
from pathlib import Path
from trainable.array_cache import ArrayCache

folder, start = Path(sys.argv[1]), float(sys.argv[2])
arrays = {f"a{n}": np.full(200_000, n, dtype=np.int32) for n in range(6)}
built = []

def build():
    built.append(1)
    return dict(arrays)

time.sleep(max(0.0, start - time.time()))
for round in range(15):
    found = ArrayCache(folder).fetch(f"key{round}", build)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    path = folder / f"key{round}" / "a3.npy"
    if round % 3 == 0:
        # damage it under the other process's feet (a new file: cutting a mapped one is a SIGBUS)
        try:
            half = path.with_name(f"{os.getpid()}.half")
            half.write_bytes(path.read_bytes()[: 50 * round])
            half.rename(path)
        except FileNotFoundError:
            pass
    again = ArrayCache(folder).fetch(f"key{round}", build)
    if round % 3:
        assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
print(len(built))
"""


def test_two_processes_at_once_leave_whole_entries(tmp_path):
    start = str(time.time() + 1.5)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(tmp_path), start],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=50) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    # both built: they really met
    assert all(int(out) > 0 for out, _ in outputs)
    assert not [name for name in names(tmp_path) if name.startswith(".")]
    for number in range(15):
        if number % 3:
            found = ArrayCache(tmp_path).fetch(f"key{number}", forbidden)
            assert found["a5"].shape == (200_000,)
