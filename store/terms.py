"""From the terms of an expression to rows of the store: exact look-up first, then the tokenizer."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

from kotovec.errors import DamagedError, NotStoredError, StoreError, UnknownTokenError, choices, quoted
from kotovec.store.expression import Term
from kotovec.store.tokenizer import Tokenize, checksums, load_tokenizer
from kotovec.store.tokens import KINDS, Marking, Tokens, spelled, word_initial

NEAREST = 5  # tokens that an error about an unknown one suggests


@dataclass(frozen=True)
class ResolvedTerm:
    """A term and the tokens it stands for.

    Attributes:
        text: the term as written in the expression.
        weight: the weight of the term in the sum.
        rows: the rows of its tokens in the store; the term's vector is the mean of their vectors.
        tokens: the surfaces of its tokens.
        note: what a person should know about how the term was read, or None.
    """

    text: str
    weight: float
    rows: tuple[int, ...]
    tokens: tuple[str, ...]
    note: str | None = None


class Lookup:
    """Finds terms in a vocabulary; loads the tokenizer when a term is not in it. Several threads may use it at once."""

    def __init__(
        self, tokens: Tokens, folder: Path, files: dict[str, str] | None = None, token_filter: str = ""
    ) -> None:
        self.tokens, self.folder, self.files = tokens, folder, files
        self._lock = Lock()  # MeCab's taggers keep the sentence that they work on
        self.token_filter = "" if set(token_filter.split(",")) == set(KINDS) else token_filter

    @cached_property
    def tokenize(self) -> Tokenize:
        """The store's copy of the tokenizer.

        Raises:
            DamagedError: its files are not those that the build wrote: damaged, or swapped with the store.
        """
        if not self.files:
            return load_tokenizer(self.folder)
        other = DamagedError(
            f"{self.folder} does not match the vectors", hint="open the store again, or build it again with --overwrite"
        )
        try:
            inode = self.folder.stat().st_ino
            intact = checksums(self.folder) == self.files
            tokenize = load_tokenizer(self.folder) if intact else None
            swapped = self.folder.stat().st_ino != inode  # between the check and the reading
        except OSError as error:
            raise other from error
        if tokenize is None or swapped:
            raise other
        return tokenize

    def known(self, text: str) -> bool:
        """Return whether a text is a token as it stands, bare or word-initial, or `#id`."""
        token_id = Term(text, 1.0, 0).token_id
        if token_id is not None:
            return self.tokens.row_of_id(token_id) is not None
        return self._bare(text) is not None or self._initial(text) is not None

    def resolve(self, term: Term) -> ResolvedTerm:
        """Find a term.

        Raises:
            UnknownTokenError: the vocabulary cannot spell the term; the message names the nearest tokens.
            NotStoredError: no token has that id.
        """
        if term.token_id is not None:
            row = self.tokens.row_of_id(term.token_id)
            if row is None:
                last = int(self.tokens.ids[-1])
                raise NotStoredError(f"this store holds no token {term.text}: its ids go up to {last}")
            return self._found(term, row)
        bare, initial = self._bare(term.text), self._initial(term.text)
        if bare is not None:
            return self._found(term, bare, self._note_on_forms(term.text, bare, initial))
        if initial is not None:
            surface = self.tokens.surfaces[initial]
            return self._found(
                term, initial, f"{term.text} is {surface}, which {self._verb} a word; it has no bare form"
            )
        return self._tokenized(term)

    def _bare(self, text: str) -> int | None:
        if self.tokens.marking is Marking.BYTELEVEL:
            # ▁king is how the table shows Ġking. The readable form comes first: é is spelled Ã©, and as a
            # spelling é is one byte of something else.
            word = f" {text[1:]}" if text.startswith(("▁", "Ġ")) else text
            row = self.tokens.texts.find(spelled(word, self.tokens.marking))
            if row is not None:
                return row
        return self.tokens.texts.find(text)

    def _initial(self, text: str) -> int | None:
        if text.startswith(("▁", "Ġ", " ")) or not text:
            return None
        form = word_initial(text, self.tokens.marking)
        return None if form is None else self.tokens.texts.find(form)

    def _note_on_forms(self, text: str, bare: int, initial: int | None) -> str | None:
        surface = self.tokens.surfaces[bare]
        if self.tokens.marking is Marking.BYTELEVEL and surface not in (text, f"▁{text[1:]}"):
            return f"{text} is taken as the vocabulary's spelling of {surface}"
        if initial is None:
            return None
        other = self.tokens.surfaces[initial]
        return f"{text} is the form inside a word; for the one that {self._verb} a word write {other}"

    @property
    def _verb(self) -> str:
        return "ends" if self.tokens.marking is Marking.SUFFIX else "begins"

    def _found(self, term: Term, row: int, note: str | None = None) -> ResolvedTerm:
        return ResolvedTerm(term.text, term.weight, (row,), (self.tokens.surfaces[row],), note)

    def _tokenized(self, term: Term) -> ResolvedTerm:
        if not term.text.strip():
            raise UnknownTokenError(f"the vocabulary has no token {quoted(term.text)}")
        try:
            with self._lock:
                pieces = self.tokenize(term.text)
        except StoreError as error:
            raise UnknownTokenError(
                f"{quoted(term.text)} is not a token of this store; {error}", hint=error.hint
            ) from error
        rows = [self.tokens.texts.find(piece) for piece in pieces]
        unknown = self.tokens.row_of_id(self.tokens.unk_id)
        if not rows or any(row is None or row == unknown for row in rows):
            raise self._unknown(term.text)
        found = tuple(row for row in rows if row is not None)
        surfaces = tuple(self.tokens.surfaces[row] for row in found)
        if len(found) == 1:
            note = f"{term.text} is read as {surfaces[0]}"
        else:
            note = f"{term.text} is not one token: the mean of {' | '.join(surfaces)}"
        return ResolvedTerm(term.text, term.weight, found, surfaces, note)

    def _unknown(self, text: str) -> UnknownTokenError:
        nearest = self._nearest(text)
        hint = f"try {choices(nearest)}" if nearest else None
        where = f"this store, which was built with --token-filter {self.token_filter}"
        holder = where if self.token_filter else "the vocabulary"
        return UnknownTokenError(f"{quoted(text)} is not in {holder}, nor made of its tokens", hint=hint)

    def _nearest(self, text: str) -> list[str]:
        from difflib import get_close_matches

        folded = text.casefold()
        chars = set(folded)
        # Only tokens that share a character and are about as long: difflib needs 1 s for 32,000, 0.05 s for these.
        near = {
            surface
            for surface in self.tokens.surfaces
            if abs(len(surface) - len(text)) <= max(2, len(text) // 2) and not chars.isdisjoint(surface.casefold())
        }
        return get_close_matches(folded, sorted(near), n=NEAREST, cutoff=0.4)
