"""A pattern that no token contains as it stands: read in the forms in which a query finds a word."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kotovec.errors import KotovecError
from kotovec.store.notation import MARK, typed
from kotovec.store.terms import normal_forms
from kotovec.store.tokens import Marking, surface_of

if TYPE_CHECKING:
    from kotovec.store.database import Store

_MARKS = ("_", " ", "Ġ")  # what is typed for ▁


def read_otherwise(pattern: str, store: "Store", has: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """Return the first form of a pattern that some token contains, and a note on how it was read.

    Args:
        pattern: no regular expression.
        store: an open store.
        has: returns whether some token contains a text.

    Returns:
        The form and its note; the pattern itself, without a note, where it is in a token or no form is.
    """
    if has(pattern):
        return pattern, ()
    for form, name in _forms(pattern, store):
        if has(form):
            return form, (f"{pattern} is read as {form}{f' ({name})' if name else ''}",)
    return pattern, ()


def _forms(pattern: str, store: "Store") -> Iterator[tuple[str, str]]:
    """Yield other forms of a pattern, each with its name: normal forms, the mark of a word, the tokenizer's own."""
    marked = store.tokens.marking in (Marking.METASPACE, Marking.BYTELEVEL)
    for form, name in normal_forms(pattern):
        if name:
            yield form, name
        if marked and form.startswith(_MARKS):
            yield MARK + form[1:], name
    for form, name in normal_forms(pattern):  # ＫＩＮＧ is KING in NFKC, which the tokenizer lower-cases
        mark = MARK if marked and form.startswith((*_MARKS, MARK)) else ""
        spelled = _as_tokenized(form[len(mark) :], store)
        if spelled and spelled != form:
            yield mark + spelled, name


def _as_tokenized(text: str, store: "Store") -> str:
    """Return a text as the tokenizer spells it, such as king for KING; empty where it cannot."""
    marking, unknown = store.tokens.marking, store.tokens.row_of_id(store.tokens.unk_id)
    try:
        pieces = store.lookup.pieces([text])[0]
    except KotovecError:  # a store without a tokenizer, or with one that needs transformers
        return ""
    if unknown is not None and store.tokens.texts[unknown] in pieces:
        return ""
    return "".join(typed(piece, surface_of(piece, marking), marking).text for piece in pieces)
