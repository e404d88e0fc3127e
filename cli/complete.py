"""What a shell offers on Tab: values of options, stores, and the spaces, layers and tokens of the store that is named.

Nothing here imports what a store needs before it is asked: `kotovec --help` imports this module.
"""

import contextlib
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kotovec.cli.arguments import COMMANDS
from kotovec.cli.chosen import open_store
from kotovec.errors import KotovecError
from kotovec.space import LAYERED
from kotovec.text import last_part, parts

if TYPE_CHECKING:
    from kotovec.store import Store

IN_QUOTES = "in quotes"  # the object of a context whose last word has an open quote
MOST = 50  # tokens that are offered at once: a screen
_LIVE = frozenset("\"'`$!\\")  # what a shell acts on within quotes, too: `$(…)` of a stranger's token would run
_RISKY = _LIVE | frozenset("&|;<>()*?[]{}~#^")  # what a shell does not take as it is
ESCAPED = _RISKY | frozenset(" \t\n")  # what a backslash stands before, outside of quotes
_SHORT = ("isolated", "both")  # of spaces


class _Offer(str):
    """A word that takes the place of what was typed, and need not begin with it: `king` for `KIN`."""

    __slots__ = ()

    def startswith(self, *_: object) -> bool:  # Typer leaves out what does not
        """Return true."""
        return True


def with_backslashes(value: str) -> str:
    """Return a value as it stands outside of quotes: `my store.kotovec` is one word."""
    return "".join(f"\\{char}" if char in ESCAPED else char for char in value)


def among(*values: str) -> Callable[[str], list[str]]:
    """Return a completion of fixed values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def listed(values: list[str], incomplete: str) -> list[str]:
    """Return what completes the last part of a list with commas; a part that is there is not offered again."""
    start = last_part(incomplete)
    before, last, given = incomplete[:start], incomplete[start:], parts(incomplete[:start])
    return [before + value for value in values if value.startswith(last) and value not in given]


def stores(incomplete: str) -> list[str]:
    """Return the stores that a path may lead to; without one, the folders on the way."""
    found = _folders(incomplete)
    return [each for each in found if each.endswith(".kotovec")] or [f"{each}/" for each in found]


def models(incomplete: str) -> list[str]:
    """Return the model that needs no download, and the folders that a path may lead to."""
    return [*among("demo")(incomplete), *(f"{each}/" for each in _folders(incomplete))]


def _folders(incomplete: str) -> list[str]:
    """Return the folders that a path may lead to; not those whose names a shell would act on within quotes, too."""
    folder, name = os.path.split(incomplete)
    found = []
    with contextlib.suppress(OSError):
        found = [each.name for each in Path(folder or ".").iterdir() if each.name.startswith(name) and each.is_dir()]
    plain = (each for each in found if each.isprintable() and not _LIVE & set(each))
    shown = sorted(each for each in plain if not each.startswith(".") or name.startswith("."))
    return [os.path.join(folder, each) for each in shown]  # noqa: PTH118 — keeps `./`


def spaces(context: typer.Context, incomplete: str) -> list[str]:
    """Return the spaces of the store, as a list with commas takes them."""
    store = _opened(context)
    return listed(["static", *_SHORT] if store is None else named_spaces(store), incomplete)


def space(context: typer.Context, incomplete: str) -> list[str]:
    """Return the spaces of the store, for an option that takes one of them."""
    store = _opened(context)
    stored = (
        ["static"] if store is None else [str(each) for each in (*store.vectors.spaces, *store.vectors.spaces.tied)]
    )
    return [each for each in stored if each.startswith(incomplete)]


def named_spaces(store: "Store") -> list[str]:
    """Return how the spaces of a store can be named: as they are written, and in short where it has what that means."""
    names = {each.name for each in store.spaces if not each.steps}
    short = [*(name for name in LAYERED if name in names), *(["both"] if {"static", "isolated"} <= names else [])]
    return [*map(str, store.spaces), *short]


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """Return the layers of the store."""
    store = _opened(context)
    return [str(layer) for layer in (store.layers if store else ()) if str(layer).startswith(incomplete)]


def scripts(incomplete: str) -> list[str]:
    """Return the scripts of Unicode, as a list with commas takes them."""
    from kotovec.store.scripts import SCRIPTS

    return listed(list(SCRIPTS), incomplete)


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of tokens, as a list with commas takes them."""
    from kotovec.store.tokens import KINDS

    return listed(list(KINDS), incomplete)


def columns(incomplete: str) -> list[str]:
    """Return the columns of a list of tokens, as a list with commas takes them."""
    from kotovec.store.listing import NAMES

    return listed(list(NAMES), incomplete)


def measures(incomplete: str) -> list[str]:
    """Return the measures of analogies, as a list with commas takes them."""
    from kotovec.store.evaluation.measures import Measure

    return [*listed(list(map(str, Measure)), incomplete), *among("all")(incomplete)]


def formats(incomplete: str) -> list[str]:
    """Return the formats of files of vectors."""
    from kotovec.store.exchange.formats import GENSIM, Format

    return among(*map(str, Format), GENSIM)(incomplete)


def charsets(incomplete: str) -> list[str]:
    """Return the lists of characters, and the folders in which a file of text may be."""
    return [*among("joyo", "jinmei", "jis1", "jis2")(incomplete), *(f"{each}/" for each in _folders(incomplete))]


def terms(context: typer.Context, incomplete: str) -> list[str]:
    """Return what completes the last term of an expression: tokens of the store, the most frequent first.

    A token that a shell does not take as it is, is offered only within quotes, which is where a space may stand, and
    not even there if a shell would act on it.
    """
    from kotovec.store.beginnings import Beginnings
    from kotovec.store.expression import SIGNS

    start = max(map(incomplete.rfind, f" {SIGNS}")) + 1
    if start == len(incomplete):
        return []
    quoted = getattr(context, "obj", None) == IN_QUOTES or any(char.isspace() for char in incomplete)
    store = _opened(context)
    found = filter(_is_offered, Beginnings(store.tokens).complete(incomplete[start:])) if store else iter(())
    usable = (token for token in found if not (_LIVE if quoted else _RISKY) & set(token))
    return [_Offer(incomplete[:start] + token) for token in islice(usable, MOST)]


def topics(incomplete: str) -> list[str]:
    """Return what `kotovec help` explains."""
    return [name for name in (*COMMANDS, "environment") if name.startswith(incomplete)]


def _is_offered(token: str) -> bool:
    """Return whether a token is safe to print, and one word."""
    from kotovec.text import is_restless

    return not is_restless(token) and not any(map(str.isspace, token))


def _opened(context: typer.Context) -> "Store | None":
    """Return the store that a command line names, or the only one here; None without one."""
    try:
        named = context.params.get("store")
        return open_store(named[0] if isinstance(named, list | tuple) and named else named or None)
    except (KotovecError, OSError):
        return None
