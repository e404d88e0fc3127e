"""Tokens of one word: `word`, ` word`, `WORD`, full-width; and tokens whose vectors are the same to the last bit."""

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.store.moments import Doubles, blocks, cosine_distance
from kotovec.store.nearest import Rows
from kotovec.store.notation import typed
from kotovec.store.tokens import Kind, Tokens

RELATIONS = ("mark", "case", "form")  # what two tokens of a family can differ in
_WORDS = (Kind.WORD, Kind.SUBWORD)


@dataclass(frozen=True)
class Families:
    """Pairs of tokens of one word: the first token of each family, by id, with each of the others.

    Attributes:
        first, other: (n,) int64 rows.
        relations: (n,) what differs: `mark` (king and ▁king), `case` (king and King), `form` (king and ｋｉｎｇ, the
            same in NFKC), or several, such as `mark+case`.
        cosine: (n,) cosine distances.
        l2: (n,) L2 distances.
    """

    first: Rows
    other: Rows
    relations: list[str]
    cosine: Doubles
    l2: Doubles

    def __len__(self) -> int:
        return len(self.first)

    def columns(self, ids: Rows) -> dict[str, Any]:
        """Return columns of a table of V tokens: the family of each, and how it differs from the family's first.

        Args:
            ids: (V,) their ids.

        Returns:
            `family`, the id of the first token, −1 without a family; `relation`, None for the first one and without a
            family; `family_cosine` and `family_l2`, the distances from the first one, else NaN.
        """
        family = np.full(len(ids), -1, dtype=np.int64)
        family[self.first] = ids[self.first]
        family[self.other] = ids[self.first]
        cosine, l2 = np.full((2, len(ids)), np.nan)
        cosine[self.other], l2[self.other] = self.cosine, self.l2
        relations: list[str | None] = [None] * len(ids)
        for row, relation in zip(self.other.tolist(), self.relations, strict=True):
            relations[row] = relation
        return {"family": family, "relation": relations, "family_cosine": cosine, "family_l2": l2}

    def summary(self) -> list[dict[str, Any]]:
        """Return for each relation the number of pairs, and quartiles of their cosine distances."""
        by_relation: dict[str, list[int]] = defaultdict(list)
        for index, relation in enumerate(self.relations):
            by_relation[relation].append(index)
        found = []
        for relation, indexes in sorted(by_relation.items(), key=lambda item: -len(item[1])):
            low, middle, high = np.percentile(self.cosine[indexes], (25, 50, 75)).tolist()
            found.append({"relation": relation, "pairs": len(indexes), "q1": low, "median": middle, "q3": high})
        return found


def find_families(tokens: Tokens, vectors: npt.NDArray[np.floating[Any]]) -> Families:
    """Return the families of a vocabulary, of its words and subwords, with their distances in a space.

    Args:
        tokens: the V tokens.
        vectors: (V, D) their vectors.
    """
    members: dict[str, list[tuple[int, bool, str, str]]] = defaultdict(list)
    kinds = tokens.kinds.tolist()
    for row, (text, surface) in enumerate(zip(tokens.texts, tokens.surfaces, strict=True)):
        if kinds[row] in _WORDS:
            plain, marked = typed(text, surface, tokens.marking)
            normal = plain if plain.isascii() else unicodedata.normalize("NFKC", plain)
            members[normal.casefold()].append((row, marked, normal, plain))
    pairs: list[tuple[int, int, str]] = []
    for family in members.values():
        row, marked, normal, plain = family[0]
        for other, *features in family[1:]:
            differ = (features[0] != marked, features[1] != normal, _form(*features[1:]) != _form(normal, plain))
            relation = "+".join(name for name, differs in zip(RELATIONS, differ, strict=True) if differs)
            pairs.append((row, other, relation or "form"))
    first = np.array([pair[0] for pair in pairs], dtype=np.int64)
    other_ = np.array([pair[1] for pair in pairs], dtype=np.int64)
    cosine, l2 = np.empty(len(pairs)), np.empty(len(pairs))
    for block in blocks(np.broadcast_to(np.float64(0), (len(pairs), vectors.shape[1]))):
        left, right = vectors[first[block]].astype(np.float64), vectors[other_[block]].astype(np.float64)
        cosine[block], l2[block] = cosine_distance(left, right), np.linalg.norm(left - right, axis=1)
    return Families(first, other_, [pair[2] for pair in pairs], cosine, l2)


def _form(normal: object, plain: object) -> bool:
    """Return whether a text is another in NFKC."""
    return normal != plain


def find_duplicates(vectors: npt.NDArray[np.floating[Any]]) -> list[list[int]]:
    """Return the groups of rows of (V, D) vectors that are equal to the last bit, each ascending."""
    by_hash: dict[bytes, list[int]] = defaultdict(list)
    for block in blocks(vectors):
        part = np.ascontiguousarray(vectors[block])
        for row, content in enumerate(part, start=block.start):
            by_hash[blake2b(content.data, digest_size=16).digest()].append(row)
    return [rows for rows in by_hash.values() if len(rows) > 1]
