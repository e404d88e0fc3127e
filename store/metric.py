"""How nearness is measured: scores, their direction, how rows are scaled, and how wrong float32 can be."""

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted

SINGLE, DOUBLE = 2.0**-24, 2.0**-53  # the unit roundoffs of float32 and float64
SMALLEST = 2.0**-126  # the smallest normal float32: what is below may count as zero
LARGEST = 2.0**127  # half of what float32 can hold
LARGEST_SCALE = 1e30
TAME = 1e100  # queries longer than this, or shorter than its inverse, might leave the range of float64

Scores = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]


class Metric(StrEnum):
    """How nearness is measured.

    `l2` is the squared distance, as faiss reports it, and smaller is nearer; for `cosine` and `ip` (inner product)
    larger is nearer. A zero vector has cosine 0 with everything.
    """

    L2 = "l2"
    COSINE = "cosine"
    IP = "ip"
    CSLS = "csls"  # of cosines and neighbourhoods: see `kotovec.store.geometry.csls`, which alone computes it

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """Return the metric of a name.

        Raises:
            InputError: the metric is unknown.
        """
        if text not in list(cls):
            raise InputError(f"unknown metric {quoted(text)}", hint=f"choose {choices(cls)}")
        return cls(text)

    @property
    def label(self) -> str:
        """The name of the score for a person."""
        return {"l2": "squared L2", "cosine": "cosine", "ip": "inner product", "csls": "CSLS"}[self.value]

    @property
    def direction(self) -> str:
        """The score and its direction for a person, such as `squared L2, smaller is nearer`."""
        return f"{self.label}, {'smaller' if self.is_distance else 'larger'} is nearer"

    @property
    def is_distance(self) -> bool:
        """Whether smaller is nearer; otherwise scores are products, and larger is nearer."""
        return self is Metric.L2

    @property
    def sign(self) -> int:
        """The factor by which scores are multiplied so that smaller is nearer: 1 or −1."""
        return 1 if self.is_distance else -1

    def scaled(self, vectors: Floats, norms: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return vectors (n, D) as they are compared in float32: for cosine, at length 1 (zero vectors stay zero).

        Args:
            vectors: (n, D) vectors of any floating type.
            norms: their lengths, (n,) float64.
        """
        if self is Metric.COSINE:
            scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)[:, np.newaxis]
            # 1/norm of a tiny row is infinite in float32; in float64 the product takes five times as long.
            single = vectors.dtype != np.float64 and scale.max(initial=0.0) < LARGEST_SCALE
            exact = np.float32 if single else np.float64
            vectors = vectors * scale.astype(exact)
        with np.errstate(over="ignore"):  # such a query proves nothing, and is answered in float64
            return np.ascontiguousarray(vectors, dtype=np.float32)

    def exact(
        self, vectors: npt.NDArray[np.float64], norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64]
    ) -> Scores:
        """Return the float64 scores of rows (…, m, D) for a query (D,), or for one each (…, 1, D); overwrite the rows.

        Sums run along each row, so that equal rows get equal scores to the last bit, whatever rows are beside them
        (a matrix product's kernels do not promise that).
        """
        if self.is_distance:
            vectors -= query
            return np.asarray(np.square(vectors, out=vectors).sum(axis=-1))
        if self is Metric.CSLS:
            raise ValueError("CSLS depends on more than a row and a query")
        vectors *= query
        products = np.asarray(vectors.sum(axis=-1))
        return _cosines(products, norms, query) if self is Metric.COSINE else products

    def bounds(
        self, products: Scores, norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64]
    ) -> tuple[Scores, Scores]:
        """Return lower and upper bounds of `sign` times the exact scores of rows, given their float64 products.

        The margin is twice the bound of `float32_error` in float64, as both the product and the exact sums may err; for
        a query beyond `TAME` the bounds are infinite.

        Args:
            products: (m,) products of the rows with the query.
            norms: (m,) norms of the rows.
            query: (D,) the query.
        """
        gamma = 2 * (len(query) + 16) * DOUBLE
        length = float(np.linalg.norm(query))
        if not 1 / TAME < length < TAME:
            return np.full_like(products, -np.inf), np.full_like(products, np.inf)
        if self.is_distance:
            middle, error = norms**2 + length**2 - 2 * products, gamma * (norms + length) ** 2
        elif self is Metric.IP:
            middle, error = -products, gamma * norms * length
        else:
            middle, error = -_cosines(products, norms, query), np.full_like(products, gamma)
        return middle - error, middle + error

    def float32_error(self, query: npt.NDArray[np.float64], longest: float) -> float:
        """Return the largest error that a score in float32 can have; infinite if it may overflow.

        A float32 inner product of D terms errs by at most γ‖x‖‖y‖, γ = D·u/(1 − D·u), in whatever order it is summed
        (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); a few more units cover the rounding of
        the query (and of rows scaled to length 1) and the final sums. For few queries faiss sums (x − y)², for many
        ‖x‖² + ‖y‖² − 2xy: the bound of the latter, γ(‖x‖ + ‖y‖)², covers both. In addition, every product, and
        every component of the query, may lose what is below the normal numbers. Twice the sum of these is returned.

        Args:
            query: (D,) the query.
            longest: the largest norm of a row.
        """
        dimensions = len(query)
        gamma = (dimensions + 16) * SINGLE
        length = float(np.linalg.norm(query))
        if self is Metric.COSINE:
            length = longest = 1.0
        size = (length + longest) ** 2 if self.is_distance else length * longest
        if max(size, length, longest) > LARGEST:
            return float("inf")
        return 2 * (gamma * size + 4 * dimensions * SMALLEST * (1 + length + longest))


def _cosines(products: Scores, norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64]) -> Scores:
    # One norm at a time: summed along an axis, a norm may differ in its last bit.
    length = [float(np.linalg.norm(each)) for each in query.reshape(-1, query.shape[-1])]
    lengths = norms * np.reshape(length, query.shape[:-1])
    cosines = np.asarray(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))
    # Of parallel vectors, the quotient may be 1.0000000000000002, of which no angle has the cosine.
    return np.clip(cosines, -1.0, 1.0, out=cosines)
