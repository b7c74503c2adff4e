"""Checkpoints go when their trial is over, and stay when it was interrupted."""

from search.checkpoints import drop_checkpoint, drop_stale_checkpoints, has_checkpoint
from trainable.checkpoint import checkpoint_path


def there(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def make(folder, *numbers):
    (folder / "checkpoints").mkdir()
    for number in numbers:
        checkpoint_path(folder / "checkpoints", number).write_bytes(b"x")


def test_of_a_trial_that_is_over(tmp_path):
    drop_checkpoint(tmp_path, 1)  # none, nor a folder for them
    make(tmp_path, 1, 2)
    for number in (1, 7):  # their workers were killed while they wrote
        (tmp_path / "checkpoints" / f"trial-0000{number}.tmp").write_bytes(b"half")
    drop_checkpoint(tmp_path, 1)
    drop_checkpoint(tmp_path, 7)
    assert there(tmp_path) == ["trial-00002.pt"]
    assert [has_checkpoint(tmp_path, number) for number in (1, 2)] == [False, True]


def test_of_trials_that_nobody_runs_again(tmp_path):
    drop_stale_checkpoints(tmp_path, {1})
    make(tmp_path, 1, 2, 3)
    (tmp_path / "checkpoints" / "trial-00003.tmp").write_bytes(b"half")
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    drop_stale_checkpoints(tmp_path, {2, 5})
    assert there(tmp_path) == ["notes.txt", "trial-00002.pt"]
