"""Sums of the hidden states of a shard, by the rows that they belong to, on the device that computes them.

Each number is rounded to a multiple of 2^-30, and integers are added, so that neither batches nor a GPU's own order
change a sum; see `kotovec.sums`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.sums import LARGEST, SCALE, squared_norms
from kotovec.workers.devices import to_device, to_host
from kotovec.workers.inputs import Batch, Inputs

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted beside the sums of m rows.

    Attributes:
        rows: (m,) int64 numbers of rows, ascending, each once.
        counts: (m,) int64 numbers of vectors in the sums.
        energies: an array (m, 2) for each space, by its name: sums of squared norms, whole parts and fractions.
        finite: (m,) bool, whether every vector of the row was finite, and shorter than 262,144.
        points: the means of c contexts, (c, D) float32 for each space, by its name; empty where they are not wanted.
    """

    rows: Numbers
    counts: Numbers
    energies: dict[str, Numbers]
    finite: npt.NDArray[np.bool_]
    points: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


class Totals:
    """The growing sums of a shard whose inputs have `rows`."""

    def __init__(self, inputs: Inputs, device: str) -> None:
        assert inputs.rows is not None  # noqa: S101 — for the type checker
        self._rows, owners = np.unique(inputs.rows, return_inverse=True)
        self._counts = np.bincount(owners, minlength=len(self._rows))
        # Of each wanted position, the vector that it is a part of; without means, each is a vector.
        self._parts = None
        if inputs.means is not None:
            self._parts = np.repeat(np.arange(len(owners)), np.diff(inputs.means))
        self._owners, self._device = owners, device
        self._sums: list[Any] = []  # (m, D) int64 of each layer
        self._energies: list[Any] = []  # (m, 2) int64 of each layer
        self._faults: Any = None  # (m,) int64, vectors that are not finite
        self._contexts = inputs.contexts  # of each vector, where the means of contexts are wanted
        # Vectors of each context.
        self._uses: Numbers = np.bincount(() if inputs.contexts is None else inputs.contexts)
        self._points: list[Any] = []  # (c, D) int64 sums of each layer

    def add(self, states: Sequence[Any], batch: Batch) -> None:
        """Add the states of a batch, one tensor (k, D) per layer."""
        if not self._sums:
            self._allocate(states)
        parts = batch.index if self._parts is None else self._parts[batch.index]
        owners = to_device(self._owners[parts], self._device)
        vectors_of = parts
        if self._parts is not None:
            # The positions of a vector are of one sequence, and follow each other.
            first = np.concatenate(([True], parts[1:] != parts[:-1]))
            groups = to_device(np.cumsum(first) - 1, self._device)
            vectors_of = parts[first]
            pooled = to_device(self._owners[vectors_of], self._device)
        contexts = None if self._contexts is None else to_device(self._contexts[vectors_of], self._device)
        for layer, state in enumerate(states):
            vectors = state.double()
            squares = squared_norms(vectors)
            # A comparison with NaN is false. No value is looked at here: a GPU would have to be waited for.
            self._faults.index_add_(0, owners, (~(squares < LARGEST**2)).long())
            fixed = vectors.mul_(SCALE).round_()
            if self._parts is None:
                fixed = fixed.long()
                self._count(layer, owners, fixed, squares)
            else:
                fixed = _means(fixed.long(), groups, len(pooled))
                squares = squared_norms(fixed / SCALE)
                fixed = fixed.long()
                self._count(layer, pooled, fixed, squares)
            if contexts is not None:
                self._points[layer].index_add_(0, contexts, fixed)

    def _allocate(self, states: Sequence[Any]) -> None:
        import torch

        count = len(self._rows)
        for state in states:
            self._sums.append(state.new_zeros(count, state.shape[1], dtype=torch.int64))
            self._energies.append(state.new_zeros(count, 2, dtype=torch.int64))
            if self._contexts is not None:
                self._points.append(state.new_zeros(len(self._uses), state.shape[1], dtype=torch.int64))
        self._faults = states[0].new_zeros(count, dtype=torch.int64)

    def _count(self, layer: int, owners: Any, fixed: Any, squares: Any) -> None:
        import torch

        self._sums[layer].index_add_(0, owners, fixed)
        whole = squares.floor()
        energies = torch.stack([whole, (squares - whole).mul_(SCALE).round_()], dim=1).long()
        self._energies[layer].index_add_(0, owners, energies)

    def sums(self, names: Sequence[str]) -> dict[str, Numbers]:
        """Return the sums, (m, D) int64 for each layer, by the names of the layers' spaces."""
        return {name: to_host(each) for name, each in zip(names, self._sums, strict=True)}

    def tally(self, names: Sequence[str]) -> Tally:
        """Return what is counted beside the sums."""
        energies = {name: to_host(each) for name, each in zip(names, self._energies, strict=True)}
        points = {name: to_host(each) for name, each in zip(names, self._means_of_contexts(), strict=False)}
        return Tally(self._rows, self._counts, energies, to_host(self._faults) == 0, points)

    def _means_of_contexts(self) -> list[Any]:
        """Return the mean of each context's vectors, (c, D) float32 for each layer; no layer where none are wanted."""
        if self._contexts is None:
            return []
        uses = to_device(self._uses, self._device)[:, None].double() * SCALE
        return [(sums.double() / uses).float() for sums in self._points]


def _means(fixed: Any, groups: Any, count: int) -> Any:
    """Return the means of the pieces of each vector, (count, D) float64 whole numbers, from (k, D) int64 pieces."""
    import torch

    sums = fixed.new_zeros(count, fixed.shape[1]).index_add_(0, groups, fixed)
    return (sums.double() / torch.bincount(groups, minlength=count)[:, None]).round_()
