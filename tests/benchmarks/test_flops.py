"""Operations of a step: by hand, and as torch counts them in this engine's forward pass."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig

from benchmarks.encoders import write_random_bert
from benchmarks.flops import matmul_peak, training_flops
from tests.tiny import encoded_split
from trainable.config import TrialConfig
from trainable.forward import Forward
from trainable.model import PristineWeights, build_model

CPU = torch.device("cpu")


def test_by_hand():
    config = BertConfig(hidden_size=4, intermediate_size=8, num_hidden_layers=2)
    # 5 word pieces in documents of 2 and 3. Full layer, multiply-adds: projections 4 x 16 and
    # feed-forward 2 x 32 for each piece, 640; scores and context 2 x 4 x (4 + 9), 104.
    full = 640 + 104
    # last layer: keys and values of 5 pieces, 160; query, output and feed-forward of 2 [CLS], 192;
    # their scores and context, 2 x 4 x 5 = 40
    last = 160 + 192 + 40
    # pooler 2 x 16, classifier 2 x 4 x 3 labels
    head = 32 + 24
    assert training_flops([2, 3], config, num_labels=3) == 3 * 2 * (full + last + head)


def test_as_torch_counts_them(encoder):
    pristine = PristineWeights.load(encoder)
    names = [str(label) for label in range(7)]
    model = build_model(pristine, TrialConfig(encoder=encoder), names, CPU)
    forward = Forward.of(model, precision="fp32", pad_id=0)
    # of one length: attention in groups has no padding then
    split = encoded_split([[2, *range(5, 5 + 20), 3]] * 6, [[0]] * 6)
    with FlopCounterMode(display=False) as counter:
        forward.inference(split, torch.arange(6).numpy())
    wanted = training_flops([22] * 6, pristine.config, num_labels=7)
    assert 3 * counter.get_total_flops() == wanted


def test_a_peak_is_positive_and_finite(monkeypatch):
    monkeypatch.setattr("benchmarks.flops._PEAK_TRIES", 1)
    assert 1e8 < matmul_peak(CPU, "fp32") < 1e15


@pytest.mark.parametrize("packaged", [True, False])
def test_a_random_bert_needs_no_network(tmp_path, monkeypatch, packaged):
    if not packaged:
        monkeypatch.setattr("trainable.encoders._PACKAGE", "a_package_that_is_not_installed")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    write_random_bert(tmp_path, intermediate_size=16, **small)
    pristine = PristineWeights.load(str(tmp_path))
    assert pristine.config.vocab_size == 30_522
    assert pristine.config.max_position_embeddings == 512
