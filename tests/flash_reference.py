"""`aten::_flash_attention_forward` over packed documents, written from the mathematics.

For every document: softmax(scale * Q K^T) V per head, in float32 and with plain autograd.
"""

import torch


def reference_flash(
    query,
    key,
    value,
    cum_seq_q,
    cum_seq_k,
    max_q,
    max_k,
    dropout_p,
    is_causal,
    return_debug_mask,
    *,
    scale=None,
):
    """The operator's arguments by their names in its schema; [T, heads, head_dim] each."""
    assert not is_causal
    assert not return_debug_mask
    assert cum_seq_q.dtype == cum_seq_k.dtype == torch.int32
    assert len(cum_seq_q) == len(cum_seq_k)
    assert all(x.ndim == 3 and x.stride(-1) == 1 for x in (query, key, value))
    assert query.dtype == key.dtype == value.dtype
    q_ends, k_ends = cum_seq_q.tolist(), cum_seq_k.tolist()
    assert (q_ends[0], q_ends[-1]) == (0, len(query))
    assert (k_ends[0], k_ends[-1]) == (0, len(key))
    out = []
    for n in range(len(q_ends) - 1):
        q = query[q_ends[n] : q_ends[n + 1]].float()
        k, v = (x[k_ends[n] : k_ends[n + 1]].float() for x in (key, value))
        # beyond these the kernel leaves its output unwritten
        assert 1 <= len(q) <= max_q
        assert 1 <= len(k) <= max_k
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        weights = torch.dropout(scores.softmax(-1), dropout_p, train=True)
        out.append(torch.einsum("hqk,khd->qhd", weights, v))
    nothing = query.new_empty(0)
    return torch.cat(out).to(query.dtype), nothing, nothing, nothing, nothing
