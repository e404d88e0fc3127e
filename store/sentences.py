"""The sentences that an item's context vectors come from, where a store keeps them."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kotovec.errors import DamagedError, InputError, NotStoredError, StoreError, quoted
from kotovec.space import PROTOTYPES, Origin, Space
from kotovec.store import prototypes
from kotovec.store.arguments import check_text
from kotovec.store.contexts import Sample, read_contexts
from kotovec.store.expression import parse
from kotovec.store.gaps import Gaps
from kotovec.store.layout import CONTEXTS, Layout
from kotovec.store.opened import CURE
from kotovec.store.spread import Means
from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store.terms import Lookup, ResolvedTerm
    from kotovec.store.vectors import Vectors

_SAMPLED = ("context", PROTOTYPES)  # what is made of a sample, also where a space is derived from it


@dataclass(frozen=True)
class Uses:
    """How the vectors of an item scatter in its contexts, in one space.

    Attributes:
        space: the space, such as `context@6`.
        uses: how many vectors its vector is the mean of: it may stand twice in a sentence.
        norm: the norm of the mean.
        self_similarity: see `Means.self_similarities`; None with fewer than two vectors.
        random_similarity, reliability: those of the space, see `Spread`; None where they cannot be computed.
    """

    space: str
    uses: int
    norm: float
    self_similarity: float | None
    random_similarity: float | None
    reliability: float | None


@dataclass(frozen=True)
class Contexts:
    """The contexts of an item.

    Attributes:
        term: the item as it was asked for.
        row: its row in the table of tokens, or words.
        token: its surface.
        id: its id.
        sentences: the sentences, by their hashes: the first n of them are the contexts that n would give.
        inside: whether they have a word inside of other words, as it was never seen whole.
        occurrences: how many distinct sentences of the corpus have it; an estimate where there are more than `limit`,
            and where a fraction of the sentences was looked at.
        limit: most contexts of an item.
        spaces: its numbers in each space of contexts.
        prototypes: which of its prototypes each sentence belongs to, from 1, in each space of these, by its name.
        reason: why it has no sentence; empty where it has some.
        error: the relative standard error of `occurrences`, 0 where they are exact; None where it is unknown.
    """

    term: str
    row: int
    token: str
    id: int
    sentences: tuple[str, ...]
    inside: bool
    occurrences: float
    limit: int
    spaces: tuple[Uses, ...] = ()
    prototypes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reason: str = ""
    error: float | None = 0.0


def keeps_text(vectors: "Vectors") -> bool:
    """Return whether a store keeps the sentences of its contexts.

    Raises:
        NotStoredError, DamagedError: as `read_sample`.
    """
    return read_sample(Layout(vectors.path), vectors).texts is not None


def read_sample(layout: Layout, vectors: "Vectors", *, checked: bool = False) -> Sample:
    """Return the sample of a store: the one that its spaces of contexts were made of.

    Args:
        layout: the layout of the store.
        vectors: its open files.
        checked: whether every checksum is recomputed; else headers, sizes and the digest of the sample are checked.

    Raises:
        NotStoredError: the store has no contexts.
        DamagedError: the file is missing or damaged, or belongs to other tokens or to vectors of another sample.
    """
    spaces = digests(vectors)
    try:
        sample = read_contexts(layout.contexts, str(vectors.attributes.get("identity")), checked=checked)
    except FileNotFoundError as error:
        if layout.contexts.is_symlink():
            raise DamagedError(f"{layout.contexts} is a link to nothing", hint=CURE) from error
        if spaces:
            missing = f"{vectors.path} has {next(iter(spaces))} without {CONTEXTS}, its sentences"
            raise DamagedError(missing, hint=CURE) from error
        build = (vectors.spaces.origin() or Origin()).build or "kotovec build MODEL"
        hint = f"add them with {quoted(f'{build} --corpus FILE --keep-text')}"
        raise NotStoredError(f"{vectors.path} has no contexts", hint=hint) from error
    for space, digest in spaces.items():
        if digest != sample.digest:
            raise DamagedError(f"{layout.contexts} has other sentences than {space} is made of", hint=CURE)
    return sample


def digests(vectors: "Vectors") -> dict[Space, str]:
    """Return the digest of the sample that each space was made of, which the files of such spaces record.

    A file that cannot be read records nothing: it is damage of its own.
    """
    found = {}
    for space in vectors.spaces:
        if space.name in _SAMPLED:
            with contextlib.suppress(StoreError, DamagedError):
                found[space] = vectors.settings(space).get("sample")
    return {space: str(digest) for space, digest in found.items() if digest is not None}


def verify(layout: Layout, vectors: "Vectors") -> list[str]:
    """Recompute every checksum of a store's sample; return what is damaged or missing, and how to repair it."""
    try:
        read_sample(layout, vectors, checked=True)
    except NotStoredError:
        return []
    except DamagedError:
        return [f"{CONTEXTS} ({CURE})"]
    return []


def find_contexts(term: str, sample: Sample, lookup: "Lookup", vectors: "Vectors") -> Contexts:
    """Return the contexts of a token or word.

    Args:
        term: the token or word, as in an expression.
        sample: the sample of the store.
        lookup: the lookup in its table.
        vectors: the open files of the store.

    Raises:
        NotStoredError: the store does not keep its sentences.
        InputError: the text is an expression, or a word of several tokens.
        UnknownTokenError, ExpressionError: as `Store.search`.
    """
    if sample.texts is None:
        raise NotStoredError(
            "this store does not keep its sentences", hint="build it again with --overwrite and --keep-text"
        )
    found = find_item(term, lookup, "contexts")
    (row,) = found.rows
    spaces = [space for space in vectors.spaces if space.name == "context"]
    return Contexts(
        term=found.text,
        row=row,
        token=lookup.tokens.surfaces[row],
        id=int(lookup.tokens.ids[row]),
        sentences=tuple(sample.texts[number] for number in sample.of(row).tolist()),
        inside=bool(sample.inside[row]),
        occurrences=min(float(sample.occurrences[row]), _seen(sample)),
        limit=sample.limit,
        spaces=tuple(_uses(vectors, space, row) for space in spaces),
        prototypes=dict(_divided(vectors, row, len(sample.of(row)))),
        reason="" if len(sample.of(row)) or not spaces else Gaps(vectors, spaces[0]).reason(row),
        error=_error(sample, row),
    )


def _seen(sample: Sample) -> float:
    """Return how many sentences were read, with repeated ones: an estimate may exceed it.

    It is no part of the estimate in the file, which is the same however often a sentence is in the corpus.
    """
    return float(sample.made.get("counts", {}).get("sentences", math.inf))


def _error(sample: Sample, row: int) -> float | None:
    """Return the relative standard error of an item's `occurrences`, if it is known.

    Of an estimate from the N + 1 smallest hashes it is 1 / √(N − 1), see `Sketch.estimate`; of n of a fraction f of all
    sentences, divided by f, √((1 − f) / n), as n is binomial.
    """
    count, fraction = len(sample.of(row)), float(sample.made.get("fraction", 1))
    if sample.occurrences[row] > sample.limit and (count == sample.limit or fraction >= 1):
        return 1 / math.sqrt(sample.limit - 1) if sample.limit > 1 else None
    if fraction >= 1:
        return 0.0
    return math.sqrt((1 - fraction) / count) if count else None


def _divided(vectors: "Vectors", row: int, contexts: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name of each space of prototypes, and which of them each context of an item belongs to, from 1.

    Raises:
        DamagedError: the space is of other contexts.
    """
    for space in vectors.spaces:
        if space.name != PROTOTYPES:
            continue
        labels = prototypes.of_parts(vectors.parts(space)).of(row).labels
        if len(labels) != contexts:
            raise DamagedError(f"{vectors.path}: {space} is of other contexts than {CONTEXTS}", hint=CURE)
        yield str(space), tuple(int(label) + 1 for label in labels)


def find_item(term: str, lookup: "Lookup", what: str) -> "ResolvedTerm":
    """Return the one token or word that a text is.

    Args:
        term: the text, as in an expression.
        lookup: the lookup in the store's table.
        what: what is asked for of it, such as `contexts`.

    Raises:
        InputError: the text is an expression, or a word of several tokens.
        UnknownTokenError, ExpressionError: as `Store.search`.
    """
    check_text(term)
    terms = parse(term, lookup.known)
    found = lookup.resolve(terms[0])
    if len(terms) > 1 or len(found.rows) != 1:
        described = "an expression" if len(terms) > 1 else f"{len(found.tokens)} tokens"
        several = [each.text for each in terms] if len(terms) > 1 else found.tokens
        raise InputError(
            f"{quoted(term)} is {described}, and {what} are those of one",
            hint=f"ask for one: {', '.join(map(argument, dict.fromkeys(several)))}",
        )
    return found


def find_centres(term: str, space: Space, lookup: "Lookup", vectors: "Vectors") -> prototypes.Centres:
    """Return the prototypes of a token or word.

    Args:
        term: the token or word, as in an expression.
        space: a stored space of prototypes.
        lookup: the lookup in the store's table.
        vectors: the open files of the store.

    Raises:
        NotStoredError: it has no context.
        InputError: the text is an expression, or a word of several tokens.
        UnknownTokenError, ExpressionError, DamagedError: as `Store.prototypes`.
    """
    found = find_item(term, lookup, PROTOTYPES)
    Gaps(vectors, space).check(found.rows, term)
    return prototypes.of_parts(vectors.parts(space)).of(found.rows[0])


def _uses(vectors: "Vectors", space: Space, row: int) -> Uses:
    part = slice(row, row + 1)
    contexts, uses, energies = (vectors.part(space, name) for name in ("n", "uses", "energy"))
    assert contexts is not None and uses is not None and energies is not None  # noqa: S101, PT018 — every such space has them
    norms = np.asarray(vectors.norms(space))[part]
    similarity = float(Means(norms, contexts[part], uses[part], energies[part]).self_similarities()[0])
    spread = vectors.made(space).get("spread", {})
    return Uses(
        str(space),
        int(uses[row]),
        float(norms[0]),
        None if math.isnan(similarity) else similarity,
        spread.get("random_similarity"),
        spread.get("reliability"),
    )
