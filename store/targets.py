"""The targets of ranks in one text: terms of expressions with commas between them, and in quotes with their own."""

from kotovec.store.expression import QUOTES, closing_quote
from kotovec.text import COMMAS


def split_targets(text: str) -> list[str]:
    """Return the targets that a text names: those of `"a,b",queen` are `"a,b"` and `queen`.

    Quotes are those of an expression, and belong to a target that is in them from its beginning to its end.
    """
    found, start = [], 0
    while start <= len(text):
        end = _end(text, start)
        found.append(text[start:end].strip())
        start = end + 1
    return found


def _end(text: str, start: int) -> int:
    """Return where the target that begins at an index ends: at a comma, or at the end of the text."""
    first = _skip_spaces(text, start)
    if text[first : first + 1] in QUOTES and (close := closing_quote(text, first)) >= 0:
        behind = _skip_spaces(text, close + 1)
        if behind == len(text) or text[behind] in COMMAS:
            return behind
    return next((at for at in range(start, len(text)) if text[at] in COMMAS), len(text))


def _skip_spaces(text: str, start: int) -> int:
    return next((at for at in range(start, len(text)) if not text[at].isspace()), len(text))
