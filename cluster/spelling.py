"""A list of words split by the model's tokenizer, and which of them are left out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.listing import Listing
from kotovec.cluster.wordlist import Wordlist
from kotovec.cluster.words import Words
from kotovec.errors import InputError, quoted
from kotovec.store.tokenizer import leaves_out, spells
from kotovec.store.tokens import Pieces, Strings, describe_words
from kotovec.text import counted
from kotovec.workers.architecture import Architecture
from kotovec.workers.model import Model
from kotovec.workers.spelling import split
from kotovec.workers.tokenizer import Template

BLOCK = 4096  # words that are texts of Python at a time
MOST_PIECES = 512  # of a word, whatever the model takes: beyond, attention alone takes gigabytes
_FIRST_IDS = 8  # a model whose positions begin after <pad> has it among its first ids
_NAMED = 3  # words that a notice names
_SHOWN = 40  # characters of each


def spell(wordlist: Wordlist, listing: Listing, rows: int, most: int, pooling: str) -> Listing:
    """Return a listing of words in place of tokens: split by the tokenizer, without those that it cannot spell.

    Words of too many pieces are left out, too. A word with a part that the tokenizer does not know is left out as a
    whole: the rest would be another word.

    Args:
        wordlist: the list of words.
        listing: the tokens of the model, and its tokenizer.
        rows: number of rows of the input embedding matrix.
        most: most pieces of a word.
        pooling: as in `Words`.

    Raises:
        InputError: no word is left.
        ModelError: as `split`.
    """
    texts = wordlist.words
    offsets, ids = split(listing.tokenizer, _blocks(texts), texts.longest)
    pieces = Pieces(offsets, ids)
    counts = pieces.counts
    unknown = (ids == listing.vocabulary.unk_id) | (ids >= rows)
    unspelled = np.diff(np.concatenate(([0], np.cumsum(unknown)))[offsets]).astype(np.bool_) | (counts == 0)
    unspelled |= _partly_read(listing.tokenizer, texts)
    long = (counts > most) & ~unspelled
    chosen = ~(unspelled | long)
    if not chosen.any():
        raise InputError(
            f"none of the {counted(len(texts), 'word')} can be encoded: {unspelled.sum():,} unknown to the tokenizer, "
            f"{long.sum():,} longer than {most} tokens",
            hint="give words in the model's language and script",
        )
    if not chosen.all():  # the usual case needs no copies
        texts, pieces = texts.keep(chosen), pieces.keep(chosen)
    about = {
        "file": wordlist.name,
        "sha256": wordlist.sha256,
        "column": wordlist.column,
        "pooling": pooling,
        "duplicates": wordlist.duplicates,
        "blanks": wordlist.blanks,
        "unspelled": int(unspelled.sum()),
        "too_long": int(long.sum()),
    }
    words = Words(
        tokens=describe_words(texts, pieces),
        pooling=pooling,
        digest=wordlist.digest,
        about=about,
    )
    return replace(
        listing,
        everything=words.tokens,
        tokens=words.tokens,
        notices=(*listing.notices, *_notices(wordlist, unspelled, long, most)),
        unnamed=np.empty(0, dtype=np.int64),
        rowless={},
        words=words,
    )


def most_pieces(model: Model, architecture: Architecture | None, template: Template) -> int:
    """Return how many pieces of a word fit in the template and the model's positions, at most `MOST_PIECES`.

    Raises:
        InputError: the template alone is as long as the model takes.
    """
    config = model.pretrained_config
    if architecture is not None:
        positions = architecture.longest
    else:
        positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 0
        # Some begin after the id of their <pad>, as RoBERTa does; for the others a few positions remain unused.
        padding = getattr(config, "pad_token_id", None)
        positions -= padding + 1 if positions and isinstance(padding, int) and 0 <= padding < _FIRST_IDS else 0
    fit = positions - (template.length - 1) if positions > 0 else MOST_PIECES
    if fit < 1:
        raise InputError(
            f"a token in its template has {template.length} positions, and {model.name} has {positions}",
            hint="give --template a shorter sentence",
        )
    return min(fit, MOST_PIECES)


def _partly_read(tokenizer: Any, texts: Strings) -> npt.NDArray[np.bool_]:
    """Return which words the tokenizer would read without some of their characters, (V,) bool: of most, none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not leaves_out(backend):
        return np.zeros(len(texts), dtype=np.bool_)
    is_spelled = spells(backend)
    return np.fromiter((not is_spelled(word) for word in texts), dtype=np.bool_, count=len(texts))


def _blocks(texts: Strings) -> Iterator[list[str]]:
    for start in range(0, len(texts), BLOCK):
        yield texts.at(np.arange(start, min(start + BLOCK, len(texts))))


def _notices(
    wordlist: Wordlist, unspelled: npt.NDArray[np.bool_], long: npt.NDArray[np.bool_], most: int
) -> Iterator[str]:
    texts = wordlist.words
    repeated = [
        counted(count, what)
        for count, what in ((wordlist.duplicates, "duplicate word"), (wordlist.blanks, "blank line"))
        if count
    ]
    if repeated:
        yield f"left out of the list: {', '.join(repeated)}"
    if unspelled.any():
        what = counted(int(unspelled.sum()), "word")
        yield f"left out as the tokenizer does not know a part of it: {what} ({_named(texts, unspelled)})"
    if long.any():
        yield f"left out as longer than {most} tokens: {counted(int(long.sum()), 'word')} ({_named(texts, long)})"


def _named(texts: Strings, chosen: npt.NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(chosen)
    words = (f"{quoted(word[:_SHOWN])}{'…' if len(word) > _SHOWN else ''}" for word in texts.at(rows[:_NAMED]))
    return ", ".join(words) + (", …" if len(rows) > _NAMED else "")
