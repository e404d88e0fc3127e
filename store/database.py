"""`Store`: an open vector database, for Python and for the command line."""

from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, StoreError
from kotovec.locks import ForkLock
from kotovec.space import PROTOTYPES, Space, usual
from kotovec.store import arguments, lens
from kotovec.store.answer import Answer
from kotovec.store.answering import answer
from kotovec.store.arguments import Asking, Search, Searching
from kotovec.store.finder import Finder
from kotovec.store.finite import check_sum, source
from kotovec.store.gaps import Gaps
from kotovec.store.layout import Layout
from kotovec.store.library import choose_device
from kotovec.store.metric import Metric
from kotovec.store.nearest import Neighbourhood, Rows
from kotovec.store.question import Question, read
from kotovec.store.searched import open_finder
from kotovec.store.terms import Lookup
from kotovec.store.tokens import Tokens
from kotovec.store.vectors import Block, Vectors

if TYPE_CHECKING:
    from kotovec.store.prototypes import Centres
    from kotovec.store.ranking import Rank
    from kotovec.store.scripts import Masks
    from kotovec.store.sentences import Contexts

USUAL = 10  # tokens in an answer, unless a number is named


class Store:
    """An open store: tokens, vectors, and exact search. Several threads may read it at once.

    >>> with Store.open("bert-base-japanese-v3.kotovec") as store:
    ...     store.search("王 - 男 + 女", space="static", k=10).results[0].token

    `len(store)` is the number of tokens; `"王" in store` is true if a term is one of them (also as `#id`).

    Attributes:
        path: the folder of the store.
    """

    def __init__(self, path: Path, vectors: Vectors) -> None:
        self.path = path
        self._layout = Layout(path)
        self._vectors: Vectors | None = vectors
        self._finders: dict[tuple[Space, Metric, str, bool], Finder] = {}
        self._written: Masks = {}
        self._lock = ForkLock()

    @classmethod
    def open(cls, path: str | PathLike[str], *, verify: bool = False) -> "Store":
        """Open a store for reading.

        Args:
            path: the folder of the store.
            verify: recompute every checksum first, which takes as long as reading the whole store.

        Raises:
            StoreNotFoundError: there is no store at the path.
            StoreError: the folder is not a store, or has a newer format.
            InputError: the path is none.
            DamagedError: the headers or the token table are damaged, or a file is cut short; with `verify`, any part
                of the store is damaged.
        """
        folder = arguments.check_path(path)
        store = cls(folder, Vectors(folder))
        if verify and (damaged := store.verify()):
            raise store.damage(damaged)
        return store

    @property
    def vectors(self) -> Vectors:
        """The open files of the store.

        Raises:
            StoreError: the store was closed.
        """
        if self._vectors is None:
            raise StoreError(f"{self.path} was closed", hint="open it again")
        return self._vectors

    def close(self) -> None:
        """Release the files. Arrays that were returned stay valid; any other use raises `StoreError`."""
        with self._lock:
            self._vectors = None
            self._finders.clear()
            self.__dict__.pop("lookup", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, term: object) -> bool:
        return isinstance(term, str) and self.lookup.known(term)

    def __repr__(self) -> str:
        if self._vectors is None:
            return f"Store({str(self.path)!r}), closed"
        from kotovec.store.inspection import describe

        return describe(self.path, self.vectors)

    @property
    def tokens(self) -> Tokens:
        """The V tokens: `ids` (V,) int64, `texts`, `surfaces`, `kinds` (V,) uint8."""
        return self.vectors.tokens

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of `isolated` in the store; 0 is the output of the embeddings."""
        return self.vectors.layers

    @cached_property
    def lookup(self) -> Lookup:
        """The lookup that finds terms among the tokens."""
        rowless, unnamed = partial(self.vectors.table, "rowless"), partial(lens.unnamed_ids, self.vectors)
        files, kept = self.vectors.tokenizer_files(), str(self.vectors.attributes.get("token_filter", ""))
        return Lookup(self.tokens, self._layout.tokenizer, files, kept, rowless, unnamed)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces in the store, in order."""
        return self.vectors.spaces

    def space(self, space: Space | str | None, layer: int | None = None) -> Space:
        """Return the stored space that a space refers to: `isolated` is that of the last layer.

        Args:
            space: the space, such as `static` (input embeddings), `isolated` or `isolated@6` (hidden state of the
                token alone in its template); None for `static` or, without it, the first one.
            layer: the layer, for a space that has layers; −1 is the last one stored.

        Raises:
            NotStoredError: the store does not hold the space.
            InputError: the text does not name a space.
        """
        if space is None:
            space = usual(self.spaces)
        arguments.check_space(space, layer)
        wanted = Space.parse(space, self.spaces) if isinstance(space, str) else space
        return wanted.at(layer).among(self.spaces)

    def array(self, space: Space | str, layer: int | None = None) -> Block:
        """Return the vectors of a space: (V, D) float32 (hidden states may be float16), a read-only memmap.

        Of `prototypes`, they are the means, those of `context`; see the method `prototypes` for the centres.

        Raises:
            NotStoredError, InputError: as in `space`.
        """
        return self.vectors.array(self.space(space, layer))

    def norms(self, space: Space | str, layer: int | None = None) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self.vectors.norms(self.space(space, layer))

    def vector(
        self, expression: str, space: Space | str | None = None, layer: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the vector of a token, a word (mean of its subwords) or an expression, (D,) float64.

        Raises:
            ExpressionError, UnknownTokenError, NotStoredError: as in `search`.
        """
        return self._read(expression, self.space(space, layer), allow_zero=True).vector

    def question(
        self, expression: str, space: Space | str | None = None, layer: int | None = None, *, unit_terms: bool = False
    ) -> Question:
        """Read an expression into its terms and their sum in a space.

        Raises:
            ExpressionError, UnknownTokenError, NotStoredError, InputError: as in `search`.
        """
        return self._read(expression, self.space(space, layer), unit_terms=unit_terms)

    def _read(self, expression: str, space: Space, **how: bool) -> Question:
        unnamed = partial(lens.unnamed, self.vectors, space)
        vectors, check = self.array(space), Gaps(self.vectors, space).check
        found = read(expression, self.lookup, vectors, **how, unnamed=unnamed, check=check)
        check_sum(found.vector, vectors[found.rows], source(self.path, space))
        return found

    def nearest(
        self,
        vectors: npt.ArrayLike | None = None,
        *,
        rows: Sequence[int] | Rows | None = None,
        space: Space | str | None = None,
        metric: str = "l2",
        k: int | None = None,
        skip: Sequence[Rows] | npt.NDArray[np.int64] | None = None,
        keep: npt.NDArray[np.bool_] | None = None,
        device: str = "auto",
        exact: bool = False,
    ) -> list[Neighbourhood]:
        """Find the k nearest rows of some vectors, or of some rows of the space, in one matrix product.

        A row is its own nearest row, unless `skip` leaves it out. By `cosine` and `ip`, all rows are equally near to a
        zero vector: the first ones are returned.

        Args:
            vectors: (n, D) queries, converted to float64; give either these or `rows`.
            rows: (n,) rows of the token table, whose vectors are the queries.
            space: the space to search, such as `static` or `isolated@6`.
            metric: `l2`, `cosine`, `ip` or `csls`.
            k: how many rows, at most V.
            skip: for each of the n, the rows that must not be answers, int64.
            keep: (V,) bool, the rows that may be answers.
            device: as in `search`.
            exact: as in `search`.

        Returns:
            For each of the n, `rows` (m,) int64, best first, ties in row order, and `scores` (m,) float64; m is k, or
            less if `skip` and `keep` leave fewer rows.

        Raises:
            NotStoredError: no such space or row, or the row has no vector in it.
            InputError: k, metric, device or a shape does not fit, or a vector is not finite.
        """
        given, (measure, k) = arguments.check_queries(vectors, rows), self._measure(metric, k)
        finder = self._finder(self.space(space), measure, device, exact=exact, many=len(given) > 1)
        queries = finder.vectors_of(given) if vectors is None else given.astype(np.float64)
        return finder.nearest(queries, k, skip, keep)

    def search(
        self,
        expression: str,
        *,
        space: Space | str | None = None,
        layer: int | None = None,
        metric: str = "l2",
        k: int | None = None,
        exclude_inputs: bool = False,
        unit_terms: bool = False,
        words_only: bool = False,
        script: str | Sequence[str] | None = None,
        device: str = "auto",
        exact: bool = False,
        within: Space | str | None = None,
    ) -> Answer:
        """Find the k nearest tokens of an expression.

        Args:
            expression: the expression, such as `"王 - 男 + 女"`.
            space: the space to search, such as `static`, `isolated` or `isolated@6`; None for `static` or, without it,
                the first one.
            layer: the layer, for a space that has layers; −1 is the last one stored.
            metric: `l2` (squared distance), `cosine`, `ip` (inner product) or `csls`.
            k: how many tokens, at most V; None for 10, or for V if that is less.
            exclude_inputs: leave out the tokens that the expression is made of, in all their forms (王, ▁王 and ##王).
            unit_terms: scale each term to length 1 before adding, as gensim and 3CosAdd do; not with `l2`.
            words_only: leave out subwords, special, unused, byte and empty tokens.
            script: leave out tokens with letters of other scripts than these, such as `"Han,Hiragana,Katakana"`.
            device: `cpu`, `cuda`, or `auto` (a GPU for more than one expression, if there is one).
            exact: do not use an approximate index (one built with a factory other than Flat).
            within: look the vectors up in this space of the same width in place of their own, such as `output`; hidden
                states of an inner layer go through the model's last norm before that, where the store has it.

        Raises:
            ExpressionError: the expression cannot be read.
            UnknownTokenError: a term is neither in the vocabulary nor made of its tokens.
            NotStoredError: no such space, layer or token id.
            InputError: k, metric, script or device does not fit, or a sum is zero.
        """
        if not isinstance(expression, str):
            problem = f"search takes one expression, not {arguments.kind_of(expression)}"
            raise InputError(problem, hint="use `search_many`")
        search = Search(space, layer, metric, k, exclude_inputs, unit_terms, words_only, script, device, exact, within)
        return self._answer([expression], search)[0]

    def search_many(self, expressions: Iterable[str], **how: Unpack[Searching]) -> list[Answer]:
        """Find the k nearest tokens of each of many expressions, in one matrix product.

        The other arguments and the errors are those of `search`; the first expression that cannot be read raises its
        error for all.
        """
        if isinstance(expressions, str):
            problem = "search_many takes a list of expressions, not a str"
            raise InputError(problem, hint="use `search` for one expression")
        return self._answer(expressions, Search(**how))

    def ranks(self, expression: str, targets: Iterable[str], **how: Unpack[Asking]) -> "list[Rank]":
        """Return the exact rank of each target among all tokens that may answer an expression, counted in float64.

        Args:
            expression: the expression.
            targets: tokens, each written as a term of an expression is; one that has no rank gets a note that says why.
            how: arguments of `search`: `space`, `layer`, `metric`, `exclude_inputs`, `unit_terms`, `words_only`,
                `script` and `within`.

        Raises:
            ExpressionError, UnknownTokenError, NotStoredError, InputError: as in `search`, or a target is no term.
        """
        from kotovec.store.ranking import rank_targets

        search = Search(**how)
        space = self.space(search.space, search.layer)
        question = self._read(expression, space, unit_terms=search.unit_terms)
        return rank_targets(self.vectors, self.lookup, question, space, search, targets, self._written)

    def contexts(self, term: str) -> "Contexts":
        """Return the sentences that the context vectors of a token, or word, come from, where the store keeps them.

        Raises:
            NotStoredError: it keeps none.
            InputError: the text is an expression, or a word of several tokens.
            UnknownTokenError, ExpressionError, DamagedError: as in `search`, or the file is damaged.
        """
        from kotovec.store.sentences import find_contexts, read_sample

        return find_contexts(term, read_sample(self._layout, self.vectors), self.lookup, self.vectors)

    def prototypes(self, term: str, layer: int | None = None) -> "Centres":
        """Return the prototypes of a token, or word: the centres of its vectors in its contexts.

        Args:
            term: the token or word.
            layer: the layer; None and −1 are the last one stored.

        Returns:
            `vectors` (k, D) float32 or float16, the one of most contexts first; `sizes` (k,) int64, of how many
            contexts each is the mean; and `labels` (n,) uint8, from 0, which of them each context belongs to, in the
            order of `contexts`.

        Raises:
            NotStoredError: the store has no prototypes, or none of this token.
            InputError: the text is an expression, or a word of several tokens.
            UnknownTokenError, ExpressionError, DamagedError: as in `search`, or the file is damaged.
        """
        from kotovec.store.sentences import find_centres

        return find_centres(term, self.space(PROTOTYPES, layer), self.lookup, self.vectors)

    def info(self) -> dict[str, Any]:
        """Return what is in the store and where it came from, as JSON-ready data."""
        from kotovec.store.inspection import inform

        return inform(self.path, self._layout, self.vectors)

    def verify(self) -> list[str]:
        """Recompute every checksum; return what is damaged, by file, and how to repair it."""
        from kotovec.store.inspection import find_damage

        return find_damage(self._layout, self.vectors)

    @property
    def replaced(self) -> bool:
        """Whether the store at the path was replaced or deleted since this one was opened."""
        return self.vectors.replaced

    def check_current(self) -> None:
        """Check that this is still the store at the path, before something made from it is written there.

        Raises:
            StoreError: the store was replaced or deleted since it was opened.
        """
        if self.replaced:
            raise StoreError(f"{self.path} was replaced meanwhile, and nothing is written into it", hint="try again")

    def damage(self, damaged: Sequence[str]) -> DamagedError:
        """Return the error that names what `verify` found and, if a build repairs it, the command of the last one."""
        from kotovec.store.inspection import damage

        return damage(self.path, self.vectors, damaged)

    def _answer(self, expressions: Iterable[str], search: Search) -> list[Answer]:
        metric, k = self._measure(search.metric, search.k)
        find = partial(self._finder, metric=metric, device=search.device, exact=search.exact)
        space = self.space(search.space, search.layer)
        questions = (self._read(text, space, unit_terms=search.unit_terms) for text in expressions)
        return answer(self.vectors, self.lookup, space, questions, search, (metric, k), find, self._written)

    def _measure(self, metric: str, k: int | None) -> tuple[Metric, int]:
        measure, count = Metric.parse(metric), min(USUAL, len(self)) if k is None else k
        arguments.check_count(count, len(self), words=self.tokens.listed)
        return measure, count

    def _finder(self, space: Space, metric: Metric, device: str, *, exact: bool, many: bool) -> Finder:
        key = (space, metric, choose_device(device, many=many), exact)
        with self._lock:  # opening checks an index, or copies it to a GPU: once is enough
            if key not in self._finders:
                self._finders[key] = open_finder(self.vectors, self._layout.indexes, *key[:3], exact=exact)
            return self._finders[key]
