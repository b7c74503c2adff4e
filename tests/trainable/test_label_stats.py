"""Label counts and the estimate of mu, by hand; the real corpus is in datasets/."""

import numpy as np
import pytest

from tests.tiny import encoded_split
from trainable.label_stats import label_stats


def split(labels):
    return encoded_split([[1, 2]] * len(labels), labels)


def test_counts_and_mu_by_hand():
    # counts: 0 -> 4, 1 -> 2, 2 -> 1, 3 -> 0
    stats = label_stats(split([(0,), (0, 1), (0, 1, 2), (0,), ()]), 4)
    assert stats.label_counts_L.tolist() == [4, 2, 1, 0]
    assert stats.label_counts_L.dtype == np.int64
    assert stats.num_examples == 5
    # r of the pairs, (1/n_l) / sum over the document's labels of 1/n_j:
    # 1 | 1/3, 2/3 | 1/7, 2/7, 4/7 | 1
    ratios = [1, 1 / 3, 2 / 3, 1 / 7, 2 / 7, 4 / 7, 1]
    assert stats.mu_estimate == pytest.approx((sum(ratios) / 7 + 4 / 7) / 2, abs=1e-15)


def test_single_labels_put_mu_at_one():
    assert label_stats(split([(0,), (1,), (0,)]), 2).mu_estimate == 1.0


def test_a_split_without_labels():
    stats = label_stats(split([(), ()]), 3)
    assert stats.mu_estimate == 1.0
    assert stats.label_counts_L.tolist() == [0, 0, 0]
    assert stats.num_examples == 2
