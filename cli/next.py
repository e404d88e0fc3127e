"""What to do with a new store: commands that run as they are printed."""

from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store import Store

EXAMPLES = ("king - man + woman", "王 - 男 + 女")


def commands(path: Path | str) -> list[str]:
    """Return commands that ask a store, with an expression of words that it has."""
    from kotovec.store import Store
    from kotovec.store.projection import FEWEST

    with Store.open(path) as store:
        expression, can_map, is_listed = example(store), len(store) >= FEWEST, store.tokens.listed
    named = f"--store {argument(str(path))}"
    page = argument(f"{Path(path).stem}.html")
    return [
        f"kotovec query {named} {expression}",
        f"kotovec shell {named}",
        *([f"kotovec map {named} --html {page}"] if can_map else []),
        *([] if is_listed else [f"kotovec audit {named}"]),  # of a vocabulary, and not of a list of words
    ]


def analogy(store: "Store") -> str | None:
    """Return the article's expression if a vocabulary has its words: in Japanese only where the English one is not."""
    return next((each for each in EXAMPLES if all(word in store for word in each.split()[::2])), None)


def example(store: "Store") -> str:
    """Return an expression for a command line: an analogy if the vocabulary has its words, else one of its tokens."""
    if (expression := analogy(store)) is not None:
        return f'"{expression}"'
    from kotovec.store.tokens import Kind

    rows = (row for row, kind in enumerate(store.tokens.kinds) if kind == Kind.WORD)
    row = next((row for row in rows if store.tokens.surfaces[row].isalpha()), None)
    return argument(f"#{store.tokens.ids[0]}" if row is None else store.tokens.surfaces[row])
