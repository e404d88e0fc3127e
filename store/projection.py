"""From D dimensions to two: UMAP on exact neighbours, t-SNE as in the article, and PCA."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec import access
from kotovec.errors import InputError, MissingDependencyError
from kotovec.store.maps import Coordinates
from kotovec.store.metric import Metric
from kotovec.store.nearest import Matrix, Rows
from kotovec.store.products import search_products

CURE = "install it: pip install 'kotovec[map]'"
FEWEST = 4  # fewest tokens that can be mapped
SAME = 1e-6  # difference of two components of vectors of length 1 that may be rounding: parallel rows differ by 1e-7
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Known:
    """The nearest rows of each row by cosine, the row itself first.

    Attributes:
        rows: (n, k) int64.
        distances: (n, k) float32, 1 − cosine.
    """

    rows: Rows
    distances: Vectors


@dataclass(frozen=True)
class Projected:
    """Coordinates (n, 2), and the parameters that they were made with."""

    coordinates: Coordinates
    parameters: dict[str, Any]


def unit(matrix: Matrix, rows: Rows) -> Vectors:
    """Return some rows at length 1, (n, D) float32, as cosine needs them; zero rows stay zero."""
    return Metric.COSINE.scaled(matrix.vectors[rows], matrix.norms[rows])


def check_spread(vectors: Vectors, title: str) -> None:
    """Check that vectors of length 1 differ: of equal ones every method returns NaN, and t-SNE's ends the process.

    Raises:
        InputError: some are not finite, all of them are zero, all have the same direction, or they have one dimension.
    """
    if strange := int((~np.isfinite(vectors)).any(axis=1).sum()):
        raise InputError(f"{strange:,} of the {len(vectors):,} vectors of {title} are not finite")
    if vectors.shape[1] == 1:
        raise InputError(f"the vectors of {title} have one dimension: a map needs two")
    if np.ptp(vectors, axis=0).max() > SAME:
        return
    what = "zero" if not vectors.any() else "of the same direction"
    raise InputError(
        f"all {len(vectors):,} vectors of {title} are {what}: there is nothing to map", hint="choose another --space"
    )


def known_neighbours(vectors: Vectors, count: int) -> Known:
    """Return the nearest rows of each row, in the form that UMAP wants: the row itself first, and `count` for each row.

    It does not use `neighbours.neighbours`, which decides in float64 and has no neighbours for a zero vector: on the
    demo (30,522 rows, 15 neighbours) both agree on all but 5 of 100,000 neighbours, which are as near to 1e-6, and that
    takes 9.9 to 11.3 s for static and 13.2 to 15.4 s for isolated, this 8.9 to 11.3 s and 9.6 to 10.6 s.

    Args:
        vectors: (n, D) vectors of length 1.
        count: how many nearest rows, including the row itself.
    """
    matrix = Matrix(vectors, np.linalg.norm(vectors.astype(np.float64), axis=1))
    scores, rows = search_products(matrix, Metric.COSINE)(vectors, count)
    # Among equal vectors another row may have come first; each row itself belongs there.
    own = np.arange(len(vectors))[:, np.newaxis]
    order = np.argsort(rows != own, axis=1, kind="stable")
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    rows[:, 0], scores[:, 0] = own[:, 0], 1.0
    return Known(rows, np.maximum(0.0, 1.0 - scores).astype(np.float32))


def by_pca(vectors: Vectors) -> Projected:
    """Return the first two principal components."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    values, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    first = axes[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])  # an axis has no sign: its largest is made +
    share = values[::-1][:2].sum() / values.sum()
    return Projected(centred @ first.astype(np.float32), {"explained_variance": round(float(share), 4)})


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Give numba a temporary folder for compiled code where it has none: without a home, UMAP could not be imported.

    That is so where site-packages cannot be written to either, as in an image that is mounted read-only. An empty or
    relative XDG_CACHE_HOME counts as none: numba would write into the working directory, and load code from there.
    """
    folders = []
    with contextlib.suppress(RuntimeError):  # a user that the machine does not know
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        folders += [cache] if cache.is_absolute() else []
    package = find_spec("umap")
    if package is not None and package.origin:
        folders.append(Path(package.origin).parent)
    named = os.environ.get("NUMBA_CACHE_DIR")
    if any(map(access.is_writable, [Path(named)] if named else folders)):
        yield
        return
    try:
        made = tempfile.TemporaryDirectory(prefix="kotovec-numba-")
    except FileNotFoundError as error:
        raise InputError(
            "numba has no folder for compiled code: nothing can be written to the home, nor to a temporary folder",
            hint="name one with TMPDIR or NUMBA_CACHE_DIR, or use --method pca",
        ) from error
    with made as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["NUMBA_CACHE_DIR"]
            if named is not None:
                os.environ["NUMBA_CACHE_DIR"] = named


def by_umap(vectors: Vectors, known: Known, seed: int, n_neighbors: int) -> Projected:
    """Return UMAP's coordinates, computed from the exact neighbours.

    Raises:
        MissingDependencyError: umap-learn is not installed.
    """
    with _compiling(), warnings.catch_warnings():
        try:
            import umap
        except ImportError as error:
            hint = f"{CURE}; or use --method pca"
            raise MissingDependencyError("--method umap needs umap-learn", hint=hint) from error
        # UMAP warns that these neighbours cannot place new points later; none are placed.
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        model = umap.UMAP(
            n_neighbors=n_neighbors,
            metric="cosine",
            init="pca",
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(known.rows[:, :n_neighbors], known.distances[:, :n_neighbors], None),
            force_approximation_algorithm=True,
        ).fit(vectors)
    return Projected(model.embedding_, {"n_neighbors": n_neighbors, "metric": "cosine"})


def by_tsne(vectors: Vectors, seed: int, perplexity: float) -> Projected:
    """Return the coordinates of scikit-learn's t-SNE, which the article used.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingDependencyError("--method tsne needs scikit-learn", hint=f"{CURE}; or use --method pca") from error
    model = TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=seed, n_jobs=-1)
    return Projected(model.fit_transform(vectors), {"perplexity": perplexity, "metric": "cosine"})


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages."""
    return {package: version(package) for package in packages}
