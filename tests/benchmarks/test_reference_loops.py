"""The reference loops against transformers' own loss and torch's own optimiser."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from benchmarks import reference_loops
from benchmarks.reference_loops import LoopJob, ReferenceLoop, make_loader, parts_that_fit

LABELS = 90


@pytest.fixture
def job(corpus):
    docs = corpus.sample("train", 10)
    return LoopJob(
        kind="notebook",
        encoder=corpus.encoder,
        texts=[corpus.texts("train")[doc] for doc in docs],
        split=corpus.data.train.take(docs),
        num_labels=LABELS,
        max_length=64,
        batch_size=4,
    )


def test_the_notebooks_batches_are_padded_to_the_limit(job, encoder):
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    seen = []
    for batch in make_loader(job):
        assert batch["input_ids"].shape[1] == 64
        for ids, mask, labels in zip(*batch.values(), strict=True):
            doc = job.texts.index(tokenizer.decode(ids[mask.bool()][1:-1]))
            low, high = job.split.label_offsets[doc : doc + 2]
            assert labels.nonzero().flatten().tolist() == job.split.label_ids[low:high].tolist()
            seen.append(doc)
    assert sorted(seen) == list(range(10))
    assert seen != sorted(seen)


def test_the_other_loops_are_padded_to_their_longest_document(job):
    lengths = []
    for batch in make_loader(dataclasses.replace(job, kind="hf")):
        real = batch["attention_mask"].sum(1)
        assert batch["input_ids"].shape[1] == real.max()
        lengths += real.tolist()
    assert sorted(lengths) == np.sort(job.split.lengths).tolist()


@pytest.mark.parametrize(("kind", "parts"), [("notebook", 1), ("notebook", 3), ("hf", 1)])
def test_a_step_is_that_of_transformers_and_torch(job, kind, parts, monkeypatch):
    monkeypatch.setattr(reference_loops, "resolve_precision", lambda *_: "fp32")
    job = dataclasses.replace(job, kind=kind, parts=parts)
    loop = ReferenceLoop(job)
    loop.model.eval()  # without dropout
    config = BertConfig.from_pretrained(
        job.encoder, num_labels=LABELS, problem_type="multi_label_classification"
    )
    wanted = BertForSequenceClassification(config).eval()
    wanted.load_state_dict(loop.model.state_dict())
    optimizer = torch.optim.AdamW(wanted.parameters(), lr=1e-4)
    for batch in list(make_loader(job))[:2]:
        optimizer.zero_grad()
        output = wanted(**batch)
        output.loss.backward()
        optimizer.step()
        torch.testing.assert_close(loop.step(batch), output.loss.detach())
    for name, parameter in wanted.named_parameters():
        if name.endswith("key.bias"):  # its gradient is rounding alone: softmax cancels it
            continue
        torch.testing.assert_close(
            loop.model.get_parameter(name), parameter, atol=1e-6, rtol=1e-4, msg=name
        )


def test_it_is_the_training_mode_with_berts_dropout(job):
    loop = ReferenceLoop(job)
    assert loop.model.training
    assert loop.model.config.attention_probs_dropout_prob == 0.1
    assert loop.model.dtype == torch.float32
    loop.warm_up(2)
    docs, seconds = loop.round(3)
    assert docs == 4 + 2 + 4  # the rest of the first pass, and on
    assert seconds > 0


def test_batches_are_cut_where_memory_is_short():
    config = BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
    parts = [parts_that_fit(config, 512, gib * 2**30) for gib in (1, 3, 7, 14, 60)]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] <= 32
    # measured with MiniLM: 11.6 GiB for a batch of 32
    assert parts[-2:] == [1, 1]
    assert parts[2] == 2
