"""A pattern that no token contains as it stands: read in the forms in which a query finds a word."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kotovec.errors import KotovecError
from kotovec.store.notation import MARK, typed
from kotovec.store.terms import normal_forms
from kotovec.store.tokens import Marking, surface_of

if TYPE_CHECKING:
    from kotovec.store.database import Store
    from kotovec.store.listing import Selection
    from kotovec.store.nearest import Rows

_MARKS = ("_", " ", "Ġ")  # what is typed for ▁


def read_otherwise(selection: "Selection", store: "Store") -> "tuple[Rows, tuple[str, ...]]":
    """Return the rows of the first form of a pattern that some token contains, and how it was read.

    Args:
        selection: has a pattern, not a regular expression, and selects no token.
        store: an open store.

    Returns:
        (n,) int64, ascending, and a note; none where only another option leaves out all tokens.
    """
    pattern = selection.pattern
    for form, name in (("", ""), *_forms(pattern, store)):
        alone = replace(selection, pattern=form or pattern, kind=None, script=None, length=None)
        if len(alone.rows(store)):
            rows = replace(selection, pattern=alone.pattern).rows(store)
            return rows, (f"{pattern} is read as {form}{f' ({name})' if name else ''}",) if form else ()
    return selection.rows(store), ()


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
