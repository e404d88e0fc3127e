"""Products with weights that stay, packed once for MKL where torch brings it."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from kotovec.workers import mkl
from kotovec.workers.memory import PAGE, Memory


class Linear:
    """states · weightᵀ + bias, of several weights side by side.

    In float32 on a CPU a product is added to states that are at hand, or lies where the one before of its name lay, in
    the cache: products, biases and gelu of MiniLM take 291 us a token so, 318 in new memory each time.

    Attributes:
        shape: (n of all, k).
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
        self.shape = sum(map(len, self._weights)), self._weights[0].shape[1]
        self._buffers, self._name = buffers, name
        self._plain = self._weights[0].dtype != torch.float32 or self._weights[0].device.type != "cpu"
        if self._plain and len(self._weights) > 1:
            self._weights = [torch.cat(self._weights)]
        self._packed: Any = None  # uint8, the weights as MKL takes them, for products of so many rows:
        self._rows = -1
        self._address = 0

    def joined(self) -> Any:
        """Return the (n of all, k) weights: one's own, or a copy of several."""
        import torch

        return self._weights[0].contiguous() if len(self._weights) == 1 else torch.cat(self._weights)

    def take(self, packed: Any, rows: int) -> None:
        """Take the packed weights for products of so many rows; any other number goes unpacked."""
        self._packed, self._address, self._rows = packed, packed.ctypes.data, rows

    def __call__(self, states: Any, base: Any = None) -> Any:
        """Return the product of (…, k), (…, n of all); the next one of this name may overwrite it.

        Args:
            states: (…, k).
            base: (…, n of all), contiguous, becomes the sum; for weights that have a bias.
        """
        import torch

        if self._plain:
            product = torch.nn.functional.linear(states, self._weights[0], self._bias)
            return product if base is None else base.add_(product)
        flat = states.reshape(-1, self.shape[1])
        add = base is not None
        product = base.view(len(flat), -1).add_(self._bias) if add else self._buffer(len(flat))
        if len(flat) == self._rows:
            mkl.multiply(flat.contiguous(), self._address, product, add=add)
        else:
            for part, weight in zip(product.split([*map(len, self._weights)], 1), self._weights, strict=True):
                torch.addmm(part, flat, weight.T, beta=int(add), out=part)
        if not add and self._bias is not None:
            product.add_(self._bias)
        return product.view(*states.shape[:-1], self.shape[0])

    def _buffer(self, rows: int) -> Any:
        import torch

        buffer = self._buffers.get(self._name)
        if buffer is None or len(buffer) < rows:
            buffer = self._buffers[self._name] = torch.empty(rows, self.shape[0])
        return buffer[:rows]


def pack(products: Sequence[tuple[Linear, int]], memory: Memory) -> None:
    """Pack products' weights, once for all processes that have this memory; not at all where MKL or memory lacks.

    Args:
        products: in float32 on a CPU, each with its rows.
        memory: of the processes that compute the same products with the same weights.
    """
    products = [(product, rows) for product, rows in products if rows]
    if mkl.library() is None or not products:
        return
    sizes = (-(-mkl.packed_bytes(rows, product.shape) // PAGE) * PAGE for product, rows in products)
    bounds = [*accumulate(sizes, initial=0)]
    parts = [(*one, slice(*ends)) for one, ends in zip(products, pairwise(bounds), strict=True)]

    def write(packed: Any) -> None:
        for product, rows, part in parts:
            mkl.pack(rows, product.joined(), packed[part].ctypes.data)

    # Memory of its own, where MKL does not find what another process has packed: the same bits come out.
    for place in (memory, Memory()):
        packed = place.fill(bounds[-1], write)
        if packed is None:
            return
        kinds = {(rows, product.shape): (product, packed[part], rows) for product, rows, part in parts}
        if all(_is_sound(*one) for one in kinds.values()):
            for product, rows, part in parts:
                product.take(packed[part], rows)
            return


def _is_sound(product: Linear, packed: Any, rows: int) -> bool:
    """Tell whether packed weights give the product that the weights give.

    MKL's documentation wants them to stay where they were packed, for their alignment: they are laid out from the
    multiples of 2 MiB, at which another process has them, too. This is not documented, so products are compared.
    """
    import torch

    n, k = product.shape
    states = torch.linspace(-1, 1, rows * k).view(rows, k)
    found, some = torch.empty(rows, n), slice(0, rows, 100)
    mkl.multiply(states, packed.ctypes.data, found, add=False)
    expected = states[some] @ product.joined().T
    return bool((found[some] - expected).norm() <= 1e-5 * expected.norm())
