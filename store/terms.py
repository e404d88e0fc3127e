"""From the terms of an expression to rows of the store: exact look-up first, then the tokenizer."""

import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kotovec.deaf import deaf
from kotovec.errors import (
    ACCESS,
    DamagedError,
    KotovecError,
    NotStoredError,
    StoreError,
    UnknownTokenError,
    choices,
    quoted,
)
from kotovec.locks import ForkLock
from kotovec.store.expression import SIGNS, Term
from kotovec.store.lookalikes import mistaken
from kotovec.store.nearest import Rows
from kotovec.store.tokens import KINDS, Kind, Marking, Tokens, other_forms, spelled, word_initial

if TYPE_CHECKING:
    from kotovec.store.tokenizer import Tokenizer

MOST_NEAR = 1 << 16  # tokens that are compared with an unknown one: 2 s
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
        unnamed: the number of a row that no token has, which the term is by `#id`; None for any other.
        literal: whether it was in quotes, as of a token whose text is `#12`.
    """

    text: str
    weight: float
    rows: tuple[int, ...]
    tokens: tuple[str, ...]
    note: str | None = None
    unnamed: int | None = None
    literal: bool = False


class Lookup:
    """Finds terms in a vocabulary; loads the tokenizer when a term is not in it. Several threads may use it at once."""

    def __init__(
        self,
        tokens: Tokens,
        folder: Path,
        files: dict[str, str] | None = None,
        token_filter: str = "",
        rowless: Callable[[], Mapping[str, str]] = dict,
        unnamed: Callable[[], Container[int]] = tuple,
    ) -> None:
        self.tokens, self.folder, self.files = tokens, folder, files
        self._rowless, self._unnamed = rowless, unnamed
        self._lock = ForkLock()  # MeCab's taggers keep the sentence that they work on
        self.token_filter = "" if set(token_filter.split(",")) == set(KINDS) else token_filter

    @cached_property
    def tokenize(self) -> "Tokenizer":
        """The store's copy of the tokenizer.

        Raises:
            DamagedError: its files are not those that the build wrote: damaged, or swapped with the store.
            StoreError: they cannot be read, or belong to a tokenizer that only transformers can run.
            MissingDependencyError: as `load_tokenizer`.
        """
        from kotovec.store.tokenizer import checksums, load_tokenizer

        if not self.files:
            with deaf():
                return load_tokenizer(self.folder)
        if not self.folder.exists():
            raise DamagedError(f"{self.folder} is missing", hint="build the store again with --overwrite")
        other = DamagedError(
            f"{self.folder} does not match the vectors", hint="open the store again, or build it again with --overwrite"
        )
        try:
            inode = self.folder.stat().st_ino
            intact = checksums(self.folder) == self.files
            with deaf():
                tokenize = load_tokenizer(self.folder) if intact else None
            swapped = self.folder.stat().st_ino != inode  # between the check and the reading
        except KotovecError:  # some are OSErrors, too: a whole tokenizer that runs only inside transformers, say
            raise
        except PermissionError as error:
            raise StoreError(f"{self.folder} cannot be read ({error.strerror})", hint=ACCESS) from error
        except OSError as error:
            raise other from error
        if tokenize is None or swapped:
            raise other
        return tokenize

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """Return what the tokenizer makes of each of some texts: texts of tokens, or none where they cannot spell it.

        Raises:
            DamagedError, StoreError, MissingDependencyError: as `tokenize`.
        """
        with self._lock:
            return self.tokenize.many(texts)

    def known(self, text: str) -> bool:
        """Return whether a text is a token: as it stands, bare or word-initial, in NFC or NFKC, or as `#id`."""
        token_id = Term(text, 1.0, 0).token_id
        if token_id is not None:
            return self.tokens.row_of_id(token_id) is not None or token_id in self._unnamed()
        signs = _signs(text)  # a full-width sign joins terms, and is not normalized into a part of one
        return any(self._row(form) is not None for form, _ in normal_forms(text) if _signs(form) == signs)

    def forms(self, rows: Rows) -> Rows:
        """Return rows and those of the same words with and without the vocabulary's mark, ascending.

        王 and ▁王 are two tokens of SentencePiece, 王 and ##王 of WordPiece: what precedes a word decides between them.
        """
        found = set(rows.tolist())
        for row in tuple(found):
            others = map(self.tokens.texts.find, other_forms(self.tokens.texts[row], self.tokens.marking))
            found |= {other for other in others if other is not None}
        return np.array(sorted(found), dtype=np.int64)

    def resolve(self, term: Term) -> ResolvedTerm:
        """Find a term.

        Raises:
            UnknownTokenError: the vocabulary cannot spell the term, or it is no word of the list; the message names the
                nearest tokens.
            NotStoredError: no token has that id.
        """
        if term.token_id is not None:
            return self._of_id(term, term.token_id)
        for text, name in normal_forms(term.text):
            if (row := self._row(text)) is not None:
                return self._found(term, row, *self._notes(term.text, text, name, row))
        if (number := self._without_row(term.text)) is not None:
            raise NotStoredError(f"the model has no row for the token #{number} ({quoted(term.text)})")
        if self.tokens.listed:  # the rows are words: those of its tokens may be there, as other words
            raise self._unknown(term)
        return self._tokenized(term)

    def rows(self, text: str) -> tuple[int, ...]:
        """Return the rows of a word of a text: none if the store cannot spell it.

        They are those that `resolve` finds for it in quotes, but for forms that only continue a word: `smart` is
        `▁smart` here, and `anger`, which SentencePiece may have in no other form, is what the tokenizer makes of it.

        It searches for no similar tokens, which takes as long as ten thousand look-ups.

        Raises:
            MissingDependencyError, DamagedError: as `tokenize`.
        """
        for form, _ in normal_forms(text):
            if (row := self._whole(form)) is not None:
                return (row,)
        if self.tokens.listed or not text.strip() or self._without_row(text) is not None:
            return ()
        try:
            return self._without_mark(self._split(Term(text, 1.0, 0, literal=True))[0])
        except UnknownTokenError:  # the store has no copy of its tokenizer
            return ()

    def _of_id(self, term: Term, token_id: int) -> ResolvedTerm:
        """Return the token with an id, with a note where `#12` is the text of another one."""
        row = self.tokens.row_of_id(token_id)
        if row is None and token_id in self._unnamed():
            note = f"{term.text} is a row without a token"
            return ResolvedTerm(term.text, term.weight, (), (term.text,), note, token_id)
        spelled_so = next((form for form, _ in normal_forms(term.text) if self._row(form) not in (None, row)), None)
        instead = None if spelled_so is None else f'for the token {spelled_so} write "{spelled_so}", with its quotes'
        if row is None:
            if (text := self._rowless().get(str(token_id))) is not None:
                raise NotStoredError(f"the model has no row for the token {term.text} ({quoted(text)})", hint=instead)
            noun, last = self.tokens.noun, int(self.tokens.ids[-1])
            hint = instead or "list the ids with `kotovec tokens`"
            raise NotStoredError(f"this store holds no {noun} {term.text}: its ids go up to {last}", hint=hint)
        notes = () if instead is None else (f"{term.text} is the id of {self.tokens.surfaces[row]}", instead)
        return self._found(term, row, *notes)

    def _row(self, text: str) -> int | None:
        """Return the row of a token by its text, else by that with the mark of a word, typed or not."""
        finds = (self._bare, self._initial, self._typed_initial)
        return next((row for find in finds if (row := find(text)) is not None), None)

    def _whole(self, text: str) -> int | None:
        """Return the row of a token that is a whole word of a text."""
        row = self._row(text)
        if row is None or self.tokens.marking in (Marking.WORDPIECE, Marking.NONE):
            return row
        return row if self.tokens.kinds[row] != Kind.SUBWORD else self._initial(text)

    def _without_row(self, text: str) -> str | None:
        """Return the id of a token for which the model has no row, by its text."""
        forms = {text, spelled(text, self.tokens.marking)}
        return next((number for number, other in self._rowless().items() if other in forms), None)

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

    def _typed_initial(self, text: str) -> int | None:
        """Return the row of a word whose mark is written as `_` or, in quotes, as a space: ▁ is on no keyboard."""
        if not text.startswith(("_", " ")) or self.tokens.marking is Marking.SUFFIX:
            return None
        form = word_initial(text[1:], self.tokens.marking)
        return None if form is None else self.tokens.texts.find(form)

    def _notes(self, text: str, normal: str, name: str, row: int) -> Iterator[str]:
        """Yield what to know about a text that is a token, perhaps only in a normal form, which then has a name."""
        surface, bare, initial = self.tokens.surfaces[row], self._bare(normal), self._initial(normal)
        if name:
            yield f"{text} is read as {surface} ({name})"
        elif bare is None and initial is None:
            if text.startswith("_"):
                yield f"{text} is read as {surface}"
        elif bare is None:
            lacks = (
                "it has no bare form" if self._without_row(normal) is None else "the model has no row for its bare form"
            )
            yield f"{text} is {surface}, which {self._verb} a word; {lacks}"
        elif self.tokens.marking is Marking.BYTELEVEL and surface not in (text, f"▁{text[1:]}"):
            yield f"{text} is taken as the vocabulary's spelling of {surface}"
            return
        if bare is not None and initial is not None:
            other = self._typed(initial)
            yield f"{normal} is the form inside a word; for the one that {self._verb} a word write {other}"

    def _typed(self, row: int) -> str:
        """Return how a token can be written with a keyboard: `_王` for ▁王, unless that is another token."""
        return self._written(self.tokens.surfaces[row], row)

    def _written(self, surface: str, row: int | None = None) -> str:
        if not surface.startswith("▁"):
            return surface
        row = self.tokens.surfaces.find(surface) if row is None else row
        word = surface[1:]
        for written, read in ((f"_{word}", f"_{word}"), (f'" {word}"', f" {word}")):
            if self._row(read) == row:
                return written
        return f"#{self.tokens.ids[row]}"

    @property
    def _verb(self) -> str:
        return "ends" if self.tokens.marking is Marking.SUFFIX else "begins"

    def _found(self, term: Term, row: int, *notes: str) -> ResolvedTerm:
        note = "; ".join(notes) or None
        surfaces = (self.tokens.surfaces[row],)
        return ResolvedTerm(term.text, term.weight, (row,), surfaces, note, literal=term.literal)

    def _tokenized(self, term: Term) -> ResolvedTerm:
        if not term.text.strip():
            problem = f"the vocabulary has no token {quoted(term.text)}"
            raise UnknownTokenError(problem, hint="see what there is with `kotovec tokens`")
        rows, form = self._split(term)
        if not rows:
            raise self._unknown(term)
        return self._of_pieces(term, rows, form)

    def _split(self, term: Term) -> tuple[list[int], str]:
        """Return the rows of what the tokenizer makes of a term, none if one is unknown, and its normal form."""
        forms = {name: self._rows_of_pieces(term, text) for text, name in normal_forms(term.text)}
        spelled = {name: forms[name] for name in ("NFC", "", "NFKC") if forms.get(name)}
        if not spelled:
            return [], ""
        # XLM-R's tokenizer makes ハ | ゚ | リ of a decomposed パリ and of ﾊﾟﾘ, and BERT's knows ＫＩＮＧ in NFKC only.
        name = min(spelled, key=lambda name: len(spelled[name]))
        return spelled[name], f" ({name})" if name and spelled[name] != forms[""] else ""

    def _rows_of_pieces(self, term: Term, text: str) -> list[int]:
        """Return the rows of what the tokenizer makes of a form of a term; none if one is unknown."""
        try:
            with self._lock:
                pieces = self.tokenize(text)
        except StoreError as error:
            raise UnknownTokenError(
                f"{quoted(term.text)} is not a token of this store; {error}", hint=error.hint
            ) from error
        unknown = self.tokens.row_of_id(self.tokens.unk_id)
        found = map(self.tokens.texts.find, pieces)
        rows = [row for row in found if row is not None and row != unknown]
        return rows if len(rows) == len(pieces) else []

    def _without_mark(self, rows: Sequence[int]) -> tuple[int, ...]:
        # The lone mark before 女王蜂 (▁ | 女王 | 蜂) says that a word begins, and is most of the mean of three.
        mark = self.tokens.texts.find(word_initial("", self.tokens.marking) or "\0")
        return tuple(row for row in rows if row != mark) or tuple(rows)

    def _of_pieces(self, term: Term, rows: list[int], form: str) -> ResolvedTerm:
        found = self._without_mark(rows)
        surfaces = tuple(self.tokens.surfaces[row] for row in found)
        if len(found) == 1:
            note = f"{term.text} is read as {surfaces[0]}{form}"
        else:
            note = f"{term.text} is not one token: the mean of {' | '.join(surfaces)}{form}"
        if len(found) < len(rows):
            mark = next(row for row in rows if row not in found)
            note += f", without the lone {self.tokens.surfaces[mark]}"
        if not term.literal and (instead := mistaken(term.text)):
            note += f"; {instead}"
        return ResolvedTerm(term.text, term.weight, found, surfaces, note, literal=term.literal)

    def _unknown(self, term: Term) -> UnknownTokenError:
        text = term.text
        hint = self.suggestion(text)
        hint = (hint if term.literal else mistaken(text) or hint) or "see what there is with `kotovec tokens`"
        if self.tokens.listed:
            count = len(self.tokens)
            words = "the one word" if count == 1 else f"one of the {count:,} words"
            return UnknownTokenError(f"{quoted(text)} is not {words} of this store", hint=hint)
        where = f"this store, which was built with --token-filter {self.token_filter}"
        holder = where if self.token_filter else "the vocabulary"
        return UnknownTokenError(f"{quoted(text)} is not in {holder}, nor made of its tokens", hint=hint)

    def suggestion(self, text: str) -> str | None:
        """Return a hint that names the tokens most like a text that is none, or None."""
        nearest = self._nearest(text)
        return f"try {choices(map(self._written, nearest))}" if nearest else None

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
        length = 0
        while len(near) > MOST_NEAR and length < len(folded):  # of a million words, those that begin alike
            length += 1
            near = {surface for surface in near if surface.casefold().startswith(folded[:length])}

        return get_close_matches(folded, sorted(near), n=NEAREST, cutoff=0.4)


def normal_forms(text: str) -> Iterator[tuple[str, str]]:
    """Yield a text as it stands, then in NFC and NFKC if those differ, each with the name of the form."""
    yield text, ""
    if not text.isascii():
        composed, compatible = (unicodedata.normalize(name, text) for name in ("NFC", "NFKC"))
        if composed != text:
            yield composed, "NFC"
        if compatible not in (text, composed):
            yield compatible, "NFKC"


def _signs(text: str) -> list[str]:
    return [char for char in text if char in SIGNS]
