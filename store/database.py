"""`Store`: an open vector database, for Python and for the command line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError
from kotovec.space import Space
from kotovec.store import index as indexes
from kotovec.store import maps
from kotovec.store.answer import Answer, Hit
from kotovec.store.expression import Term, parse, render
from kotovec.store.library import gpus, on_gpus
from kotovec.store.nearest import Candidates, Choice, Matrix, Metric, nearest
from kotovec.store.search import search_flat, search_gpu, search_index, search_vectors
from kotovec.store.terms import Lookup, ResolvedTerm
from kotovec.store.tokenizer import FOLDER as TOKENIZER_FOLDER
from kotovec.store.tokenizer import checksums
from kotovec.store.tokens import Kind, Tokens
from kotovec.store.vectors import CURE, Block, Vectors

VANISHING = 1e-12  # of the terms' summed lengths: what rounding leaves of 王 - 王 is below, real sums far above


@dataclass(frozen=True)
class _Question:
    """An expression, read: its terms and their sum, (D,) float64."""

    terms: tuple[ResolvedTerm, ...]
    rendered: str
    vector: npt.NDArray[np.float64]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        # np.unique would import numpy.ma, 15 ms of a query's 500.
        return np.array(sorted({row for term in self.terms for row in term.rows}), dtype=np.int64)


class Store:
    """An open store: tokens, vectors, and exact search.

    >>> store = Store.open("bert-base-japanese-v3.kotovec")
    >>> store.search("王 - 男 + 女", space="static", k=10).hits[0].token

    Attributes:
        path: of the folder.
        vectors: its open files.
    """

    def __init__(self, path: Path, vectors: Vectors) -> None:
        self.path, self.vectors = path, vectors
        self._candidates: dict[tuple[Space, Metric, str, bool], tuple[Matrix, Candidates, str | None]] = {}

    @classmethod
    def open(cls, path: str | PathLike[str], *, verify: bool = False) -> "Store":
        """Open a store for reading.

        Args:
            path: of its folder.
            verify: recompute every checksum first: as long as reading the whole store takes.

        Raises:
            StoreNotFoundError: there is none at the path.
            StoreError: it is not a store, or of a newer format.
            DamagedError: its headers or its token table are damaged, or its file is cut short; with `verify`,
                anything is damaged.
        """
        folder = Path(path)
        store = cls(folder, Vectors(folder))
        if verify and (damaged := store.verify()):
            raise store.damage(damaged)
        return store

    @property
    def tokens(self) -> Tokens:
        """The V tokens: `ids` (V,) int64, `texts`, `surfaces`, `kinds` (V,) uint8."""
        return self.vectors.tokens

    @property
    def _token_filter(self) -> str:
        return str(self.vectors.attributes.get("token_filter", ""))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of `isolated` in the store; 0 is the embeddings' output."""
        return self.vectors.layers

    @cached_property
    def lookup(self) -> Lookup:
        """Finds terms among the tokens."""
        return Lookup(self.tokens, self.path / TOKENIZER_FOLDER, self.vectors.tokenizer_files(), self._token_filter)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces in the store, in order."""
        return self.vectors.spaces

    def space(self, space: Space | str, layer: int | None = None) -> Space:
        """Return the stored space that is meant: `isolated` is that of the last layer.

        Args:
            space: such as `static` (input embeddings), `isolated` or `isolated@6` (hidden state of the token alone in
                its template).
            layer: of a space that has layers; −1 is the last one stored.

        Raises:
            NotStoredError: the store does not hold it.
            InputError: it is no space.
        """
        wanted = Space.parse(space) if isinstance(space, str) else space
        return wanted.at(layer).among(self.spaces)

    def array(self, space: Space | str, layer: int | None = None) -> Block:
        """Return the vectors of a space: (V, D) float32 (hidden states may be float16), a read-only memmap.

        Raises:
            NotStoredError, InputError: as `space`.
        """
        return self.vectors.array(self.space(space, layer))

    def norms(self, space: Space | str, layer: int | None = None) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self.vectors.norms(self.space(space, layer))

    def vector(
        self, expression: str, space: Space | str = "static", layer: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the vector of a token, a word (mean of its subwords) or an expression, (D,) float64.

        Raises:
            ExpressionError, UnknownTokenError, NotStoredError: as `search`.
        """
        return self._read(expression, self.array(space, layer), unit_terms=False, allow_zero=True).vector

    @overload
    def search(  # type: ignore[overload-overlap]  # str is a Sequence[str], too: the first one is meant
        self,
        expressions: str,
        *,
        space: Space | str = ...,
        layer: int | None = ...,
        metric: str = ...,
        k: int = ...,
        exclude_inputs: bool = ...,
        unit_terms: bool = ...,
        words_only: bool = ...,
        device: str = ...,
        exact: bool = ...,
    ) -> Answer: ...
    @overload
    def search(
        self,
        expressions: Sequence[str],
        *,
        space: Space | str = ...,
        layer: int | None = ...,
        metric: str = ...,
        k: int = ...,
        exclude_inputs: bool = ...,
        unit_terms: bool = ...,
        words_only: bool = ...,
        device: str = ...,
        exact: bool = ...,
    ) -> list[Answer]: ...
    def search(
        self,
        expressions: str | Sequence[str],
        *,
        space: Space | str = "static",
        layer: int | None = None,
        metric: str = "l2",
        k: int = 10,
        exclude_inputs: bool = False,
        unit_terms: bool = False,
        words_only: bool = False,
        device: str = "auto",
        exact: bool = False,
    ) -> Answer | list[Answer]:
        """Find the k nearest tokens of an expression, or of many in one matrix product.

        Args:
            expressions: `"王 - 男 + 女"`, or a list of such.
            space: such as `static`, `isolated` or `isolated@6`.
            layer: of a space that has layers; −1 is the last one stored.
            metric: `l2` (squared distance), `cosine` or `ip` (inner product).
            k: how many tokens, at most V.
            exclude_inputs: leave out the tokens that the expression is made of.
            unit_terms: scale each term to length 1 before adding, as gensim and 3CosAdd do; not with `l2`.
            words_only: leave out subwords, special, unused, byte and empty tokens.
            device: `cpu`, `cuda`, or `auto` (a GPU for a list, where there is one).
            exact: do not use an approximate index (one built with a factory other than Flat).

        Raises:
            ExpressionError: an expression cannot be read.
            UnknownTokenError: a term is not in the vocabulary, nor made of its tokens.
            NotStoredError: no such space, layer or token id.
            InputError: k, metric or device do not fit, or a sum is zero.
        """
        measure = self._check(metric, k, unit_terms)
        single = isinstance(expressions, str)
        texts = [expressions] if isinstance(expressions, str) else list(expressions)
        space = self.space(space, layer)
        vectors = self.array(space)
        questions = [self._read(text, vectors, unit_terms=unit_terms) for text in texts]
        if not questions:
            return []
        matrix, candidates, warning = self._find(space, measure, _device(device, single), exact)
        none = np.empty(0, dtype=np.int64)
        answers = nearest(
            matrix,
            np.stack([question.vector for question in questions]),
            k,
            measure,
            Choice(
                [question.rows if exclude_inputs else none for question in questions],
                self.tokens.kinds == Kind.WORD if words_only else None,
            ),
            candidates,
            exact=warning is None,
        )
        results = [
            Answer(
                expression=question.rendered,
                space=space,
                metric=measure.value,
                terms=question.terms,
                notes=(*_notes(question, space), *([warning] if warning else [])),
                hits=self._hits(question, rows, scores),
            )
            for question, (rows, scores) in zip(questions, answers, strict=True)
        ]
        return results[0] if single else results

    def check(
        self, expression: str, space: Space | str = "static", layer: int | None = None, *, unit_terms: bool = False
    ) -> None:
        """Raise what `search` would raise for an expression, or return."""
        self._read(expression, self.array(space, layer), unit_terms=unit_terms)

    def info(self) -> dict[str, Any]:
        """Return what is in the store and where it came from, as JSON-ready data."""
        attributes = dict(self.vectors.attributes)
        for name in ("settings", "versions", "tokenizer_files"):
            attributes[name] = json.loads(attributes.get(name, "{}"))
        attributes |= {name: value for name, value in self.vectors.made(self.spaces[-1]).items() if name != "settings"}
        return {
            "path": str(self.path),
            "tokens": len(self.tokens),
            "kinds": self.tokens.count(),
            "marking": self.tokens.marking.value,
            "spaces": {
                str(space): {"shape": list(self.array(space).shape), "dtype": str(self.array(space).dtype)}
                for space in self.spaces
            },
            "indexes": [
                {
                    "name": record.name,
                    "factory": record.factory,
                    "parameters": record.parameters,
                    "usable": record.dataset == self.vectors.dataset(Space.parse(record.space)),
                }
                for record in indexes.records(self.path / indexes.FOLDER)
            ],
            "bytes": sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file()),
            "provenance": attributes,
        }

    def verify(self) -> list[str]:
        """Recompute every checksum; return what is damaged, by file, and how it is mended."""
        damaged = [f"{name} ({CURE})" for name in self.vectors.verify()]
        tokenizer = self.vectors.tokenizer_files()
        there = checksums(self.path / TOKENIZER_FOLDER)
        names = sorted(name for name in {*tokenizer, *there} if tokenizer and tokenizer.get(name) != there.get(name))
        damaged += [f"{TOKENIZER_FOLDER}/{name} ({CURE})" for name in names]
        damaged += indexes.verify(self.path / indexes.FOLDER, self.vectors)
        return damaged + maps.verify(self.path / maps.FOLDER, self.vectors.may_be)

    @property
    def replaced(self) -> bool:
        """Another store, or none, lies at the path since this one was opened."""
        return self.vectors.replaced

    def damage(self, damaged: Sequence[str]) -> DamagedError:
        """Return the error that names what `verify` found and, where it takes a build, the command of the last one."""
        command = self.vectors.attributes.get("command")
        by = f"; it was built by: {command}" if command and any(CURE in what for what in damaged) else ""
        return DamagedError(f"{self.path} is damaged: {'; '.join(damaged)}{by}")

    def _check(self, metric: str, k: int, unit_terms: bool) -> Metric:
        if metric not in list(Metric):
            raise InputError(f"there is no metric {metric!r}: take one of {', '.join(Metric)}")
        if not 1 <= k <= len(self.tokens):
            raise InputError(f"k is {k}: take a number from 1 to {len(self.tokens)}, the size of the vocabulary")
        if unit_terms and metric == Metric.L2:
            raise InputError("unit terms mean nothing with l2: take the metric cosine (or ip) with them")
        return Metric(metric)

    def _read(self, expression: str, vectors: Block, *, unit_terms: bool, allow_zero: bool = False) -> _Question:
        terms: list[Term] = parse(expression, self.lookup.known)
        resolved = tuple(self.lookup.resolve(term) for term in terms)
        vectors = np.asarray(vectors)  # indexing a memmap takes 10 µs more
        total = np.zeros(vectors.shape[1], dtype=np.float64)
        lengths = 0.0
        for term in resolved:
            if len(term.rows) == 1:
                vector = vectors[term.rows[0]].astype(np.float64)
            else:
                vector = vectors[list(term.rows)].astype(np.float64).mean(axis=0)
            length = float(np.linalg.norm(vector))
            if unit_terms and length == 0:
                raise InputError(f"the vector of {term.text} is zero: it has no direction to scale to length 1")
            total += term.weight * (vector / length if unit_terms else vector)
            lengths += abs(term.weight) * (1.0 if unit_terms else length)
        if not allow_zero and float(np.linalg.norm(total)) <= VANISHING * lengths:
            raise InputError(f"the sum of {render(terms)} is the zero vector: nothing is nearest to it")
        return _Question(resolved, render(terms), total)

    def _find(self, space: Space, metric: Metric, device: str, exact: bool) -> tuple[Matrix, Candidates, str | None]:
        """Return what is searched, what finds candidates, and a warning where those are only nearly the nearest."""
        key = (space, metric, device, exact)
        if key not in self._candidates:
            self._candidates[key] = self._open_index(*key)
        return self._candidates[key]

    def _open_index(
        self, space: Space, metric: Metric, device: str, exact: bool
    ) -> tuple[Matrix, Candidates, str | None]:
        matrix = Matrix(np.asarray(self.array(space)), np.asarray(self.norms(space)))
        loaded = indexes.load(self.vectors, self.path / indexes.FOLDER, space, metric)
        if loaded is not None and exact and loaded[1].factory != indexes.FLAT:
            loaded = None
        warning = None
        if loaded is None:
            on_cpu = search_vectors(matrix, metric)
        elif loaded[1].factory == indexes.FLAT:
            on_cpu = search_flat(loaded[0], matrix, metric)
        else:
            on_cpu = search_index(loaded[0])
            warning = f"found with the approximate index {loaded[1].factory}: --exact searches every vector"
        if device == "cuda":
            index = on_gpus(loaded[0] if loaded else indexes.flat(matrix, metric))
            return matrix, search_gpu(index, on_cpu), warning
        return matrix, on_cpu, warning

    def _hits(
        self, question: _Question, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]
    ) -> tuple[Hit, ...]:
        inputs = {row for term in question.terms for row in term.rows}
        tokens = self.tokens
        found = zip(
            tokens.surfaces.at(rows),
            tokens.texts.at(rows),
            tokens.ids[rows].tolist(),
            scores.tolist(),
            rows.tolist(),
            strict=True,
        )
        return tuple(
            Hit(rank=rank, token=token, text=text, id=token_id, score=score, is_input=row in inputs)
            for rank, (token, text, token_id, score, row) in enumerate(found, start=1)
        )


def _notes(question: _Question, space: Space) -> list[str]:
    notes = [term.note for term in question.terms if term.note]
    if space.name == "isolated" and any(len(term.rows) > 1 for term in question.terms):
        notes.append("a mean of isolated vectors only approximates the word: the model never saw it whole")
    return list(dict.fromkeys(notes))


def _device(device: str, single: bool) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"there is no device {device!r}: take auto, cpu or cuda")
    if device == "auto":
        return "cuda" if not single and gpus() else "cpu"
    return device
