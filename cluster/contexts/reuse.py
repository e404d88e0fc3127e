"""The sample of another model's store for this model: the same sentences for what both vocabularies have."""

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.scan import BATCH, Scanner
from kotovec.errors import InputError
from kotovec.store.contexts import Numbers, Sample, Texts, join_ragged, offsets_of, take_ragged
from kotovec.store.tokens import NEVER, Marking, Tokens, unmarked
from kotovec.text import counted


def reuse(other: Sample, other_tokens: Tokens, tokens: Tokens, scanner: Scanner) -> Sample:
    """Return the sample of this model's items that is made of another sample's sentences.

    An item takes the contexts of the item with the same text and kind, without the marks by which vocabularies tell
    the beginning of a word, and only those in which this model's tokenizer finds it. Other items have none: the
    sentences were drawn for those of the other sample, and what else they hold would be a biased sample.

    Args:
        other: the other sample, with its texts.
        other_tokens: the items that it is of.
        tokens: the V items of this model.
        scanner: what finds them in the sentences; its limit is that of the other sample or lower.

    Raises:
        InputError: the sentences of the other sample were not kept.
        ModelError: this model's tokenizer cannot be used on texts.
    """
    if other.texts is None:
        raise InputError(
            "the sentences of that store were not kept", hint="build it again with --keep-text, or name its --corpus"
        )
    source = _sources(other_tokens, tokens)
    rows, sentences = _entries(other, source)
    kept = np.unique(sentences)  # ascending by hash, as they were
    sentences = np.searchsorted(kept, sentences)
    ids, id_offsets = _tokenise(other.texts, kept, scanner)
    limit = min(other.limit, scanner.limit)
    found = _found(rows, sentences, other.inside[source[rows]], (ids, id_offsets), scanner)
    rows, sentences = _first(rows[found], sentences[found], limit)
    if not len(rows):
        raise InputError(_unusable(source, tokens), hint="name a corpus with --corpus")
    used, sentences = np.unique(sentences, return_inverse=True)
    ids, id_offsets = take_ragged(ids, id_offsets, used)
    counts = np.bincount(rows, minlength=len(tokens))
    return Sample(
        other.hashes[kept[used]],
        offsets_of(counts),
        sentences.astype(np.int32),
        (counts > 0) & other.inside[source],
        np.where(counts > 0, other.occurrences[source], 0.0),
        limit,
        dict(other.made),
        other.texts.take(kept[used]),
        ids,
        id_offsets,
    )


def describe_others(other: Tokens, tokens: Tokens) -> str | None:
    """Return how many items are none of the other table, and so get no context, for a person; None without any."""
    missing = (_sources(other, tokens) < 0) & ~np.isin(tokens.kinds, NEVER)
    if not missing.any():
        return None
    number = int(missing.sum())
    are, get = ("is no item", "gets") if number == 1 else ("are no items", "get")
    return f"{counted(number, tokens.noun)} {are} of that store, and {get} no context"


def _unusable(source: Numbers, tokens: Tokens) -> str:
    """Return why no item has a sentence."""
    if (source < 0).all():
        return f"no {tokens.noun} of this model is an item of that store, and its sentences are those of its items"
    return f"this model finds no {tokens.noun} that it has in common with that store in the sentences of it"


def _sources(other: Tokens, tokens: Tokens) -> Numbers:
    """Return for each item the row of the same one in the other table, (V,) int64, −1 where it has none."""
    rows = {key: row for row, key in reversed(list(enumerate(_keys(other))))}
    exact = {key: row for row, key in enumerate(zip(other.surfaces, other.kinds.tolist(), strict=True))}
    pairs = zip(tokens.surfaces, tokens.kinds.tolist(), strict=True)
    found = [exact.get(pair, rows.get(key, -1)) for pair, key in zip(pairs, _keys(tokens), strict=True)]
    return np.asarray(found, dtype=np.int64)


def _keys(tokens: Tokens) -> list[tuple[str, int]]:
    marking = Marking.METASPACE if tokens.marking is Marking.BYTELEVEL else tokens.marking  # Ġ is shown as ▁
    bare = (unmarked(surface, marking) or surface for surface in tokens.surfaces)
    return list(zip(bare, tokens.kinds.tolist(), strict=True))


def _entries(other: Sample, source: Numbers) -> tuple[Numbers, Numbers]:
    """Return rows of this table, and numbers of the other sample's sentences, (e,) each, by row and hash."""
    counts = np.where(source >= 0, other.counts[source], 0)
    rows = np.repeat(np.arange(len(source)), counts)
    first = np.repeat(np.where(source >= 0, other.offsets[source], 0) - offsets_of(counts)[:-1], counts)
    return rows, other.sentences[np.arange(len(rows)) + first].astype(np.int64)


def _tokenise(texts: Texts, kept: Numbers, scanner: Scanner) -> tuple[npt.NDArray[np.int32], Numbers]:
    """Return the token ids of some sentences, and their offsets."""
    starts = range(0, len(kept), BATCH)
    parts = [scanner.splitter.split(list(texts.take(kept[start : start + BATCH]))) for start in starts]
    return join_ragged(parts or [scanner.splitter.split([])])


def _found(
    rows: Numbers,
    sentences: Numbers,
    inside: npt.NDArray[np.bool_],
    ids: tuple[npt.NDArray[np.int32], Numbers],
    scanner: Scanner,
) -> npt.NDArray[np.bool_]:
    """Return which entries this model finds, (e,) bool: the item in its sentence, whole or inside.

    A sentence with a token that has no row in the model's matrix is read by none.
    """
    items, values, offsets = scanner.matcher.items, *ids
    unread = np.searchsorted(offsets, np.flatnonzero(values >= scanner.readable), side="right") - 1
    wanted = (sentences * items + rows) * 2 + inside
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(offsets) - 1, BATCH):
        part = offsets[start : start + BATCH + 1]
        seen = scanner.matcher.find(values[part[0] : part[-1]], part - part[0])
        keys = ((seen.sentences.astype(np.int64) + start) * items + seen.rows) * 2 + seen.inside
        found.append(np.unique(keys))
    return np.isin(wanted, np.concatenate(found)) & ~np.isin(sentences, unread)


def _first(rows: Numbers, sentences: Numbers, most: int) -> tuple[Numbers, Numbers]:
    """Return the first entries of each row, at most so many."""
    starts = np.searchsorted(rows, rows)
    chosen = np.arange(len(rows)) - starts < most
    return rows[chosen], sentences[chosen]
