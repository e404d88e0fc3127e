"""Products with weights that stay: packed once for MKL's kernels, where torch has them and memory is given for it."""

from collections.abc import Sequence
from typing import Any


class Linear:
    """states · weightᵀ + bias, of several weights side by side.

    In float32 on a CPU an unpacked one lies where the one before of its name lay, in the cache: products, biases and
    gelu of MiniLM take 291 us a token so, 318 as `linear` does them, in new memory each time. MKL packs a weight in
    each product anew, as it likes it best; packed once, a product of 384 rows takes 5-10 % less.
    """

    def __init__(self, layers: Sequence[tuple[Any, Any]], buffers: dict[str, Any], name: str) -> None:
        """Take weights, not copies of them in float32 on a CPU.

        Args:
            layers: of each its weight, (n, k), and its bias, (n,); None where none of them has one.
            buffers: by name; products of one name overwrite each other.
            name: of this one's.
        """
        import torch

        self._weights, biases = ([*parts] for parts in zip(*layers, strict=True))
        self._bias = torch.cat(biases) if len(biases) > 1 else biases[0]
        self._size = sum(map(len, self._weights))
        self._buffers, self._name = buffers, name
        self._plain = self._weights[0].dtype != torch.float32 or self._weights[0].device.type != "cpu"
        if self._plain and len(self._weights) > 1:
            self._weights = [torch.cat(self._weights)]
        self._packed: tuple[Any, ...] = ()  # what the product takes besides states of so many elements
        self._elements = -1

    @property
    def bytes(self) -> int:
        """Of the weights, and of their packed copy."""
        return sum(weight.nbytes for weight in self._weights)

    def pack(self, rows: int) -> None:
        """Pack the weights for products of so many rows; any other number goes unpacked."""
        import torch

        weight = self._weights[0] if len(self._weights) == 1 else torch.cat(self._weights)
        # Not public: torch has no other product of a packed float32 weight.
        packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)  # noqa: SLF001
        self._elements = rows * weight.shape[1]
        # Of the weight itself, only the shape is looked at for these rows; a part of `weight` would keep it in memory.
        self._packed = packed, self._weights[0][:1, :1].expand(weight.shape), self._bias, rows
        self._product = torch.ops.mkl._mkl_linear.default  # noqa: SLF001

    def __call__(self, states: Any) -> Any:
        """Return the product of (…, k): (…, n of all), which the next one of this name may overwrite."""
        import torch
        from torch.nn import functional

        if states.numel() == self._elements:
            return self._product(states, *self._packed)
        if self._plain:
            return functional.linear(states, self._weights[0], self._bias)
        flat = states.reshape(-1, states.shape[-1])
        product, start = self._buffer(len(flat)), 0
        for weight in self._weights:
            torch.mm(flat, weight.T, out=product[:, start : start + len(weight)])
            start += len(weight)
        if self._bias is not None:
            product.add_(self._bias)
        return product.view(*states.shape[:-1], -1)

    def _buffer(self, rows: int) -> Any:
        import torch

        buffer = self._buffers.get(self._name)
        if buffer is None or len(buffer) < rows:
            buffer = self._buffers[self._name] = torch.empty(rows, self._size)
        return buffer[:rows]


def can_pack(dtype: Any, device: str) -> bool:
    """Tell whether torch has MKL's packed products here: on x86, in float32; they are not in its documentation."""
    import torch

    mkl: Any = torch.backends.mkl  # it has no types
    operators = ("_mkl_reorder_linear_weight", "_mkl_linear")
    return (
        dtype == torch.float32
        and device == "cpu"
        and mkl.is_available()
        and all(hasattr(torch.ops.mkl, name) for name in operators)
    )


def pack(products: Sequence[tuple[Linear, int]], most: int) -> None:
    """Pack products, the first ones first, as far as `most` bytes reach.

    Args:
        products: each with its rows.
        most: bytes of the packed weights, which a process shares with no other.
    """
    for product, rows in products:
        if product.bytes <= most:
            product.pack(rows)
            most -= product.bytes
