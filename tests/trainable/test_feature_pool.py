"""Processes that are killed while they, or the others, are being started."""

import multiprocessing
import threading
import time

import numpy as np
import pytest

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.datasets.records import SPLITS
from trainable.errors import UserError
from trainable.feature_pool import extract


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("after_ms", [0, 1, 2, 5, 10, 20])
def test_a_process_killed_at_any_moment_of_the_start_is_one_line(tmp_path, after_ms):
    encoder = str(tiny_encoder(tmp_path / "encoder"))
    data = tiny_encoded()
    splits = [data.split(name) for name in SPLITS]
    parts = [split.take(np.argsort(split.lengths)) for split in splits]

    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.0005)
        time.sleep(after_ms / 1000)
        children[0].kill()

    for _ in range(20):
        killer = threading.Thread(target=kill_one)
        killer.start()
        with pytest.raises(UserError, match=r"^a process that computed features died"):
            list(extract(encoder, "fp32", parts, processes=3))
        killer.join()
        assert not multiprocessing.active_children()
