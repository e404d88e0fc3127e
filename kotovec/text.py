"""How texts of strangers are shown: tokens, names of models, paths, attributes of stores, messages of libraries.

A control code moves a terminal's cursor or ends a line, and a bidirectional one reorders what stands around it, on a
page, too. All that is shown goes through `escaped`, and JSON through `json_line`.
"""

from typing import Any
from unicodedata import bidirectional, category

WIDE_SPACE = "\u3000"  # separates words in Japanese text
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def escaped(text: str, keep: str = WIDE_SPACE) -> str:
    r"""Return a text whose characters that cannot be seen are escapes, such as `\x1b`, `\u202e` or `\n`.

    Args:
        text: any text.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, as in `1 shard` or `1,024 shards`; the plural is given where it takes no s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def is_restless(text: str) -> bool:
    """Return whether a text would move a terminal's cursor, or reorder what stands around it."""
    return not text.isprintable() and any(category(char) == "Cc" or bidirectional(char) in _REORDERING for char in text)


def json_line(data: Any) -> str:
    r"""Return data as JSON in one line, with characters that cannot be seen as `\u` escapes: it is read as it was."""
    import json

    text = json.dumps(data, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == WIDE_SPACE else json.dumps(char)[1:-1] for char in text)
