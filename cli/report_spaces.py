"""What a report is asked for, its stores with the spaces that are asked, and how a command line names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.space import PROTOTYPES, Space
from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store import Store

Texts = dict[str, str]


@dataclass(frozen=True)
class Request:
    """What a report is asked for; None for the usual, or for nothing.

    Attributes:
        expression, target: the expression, and the word that it should lead to.
        pairs, analogies: data sets.
        columns: the columns of the word pairs.
        multi: what a word of several tokens is, a name of `Multi`.
        lower: look words of data sets up in lower case.
        common: ask all stores what all of them can be asked.
        seed: of the intervals.
    """

    expression: str | None = None
    target: str | None = None
    pairs: str | None = None
    analogies: str | None = None
    columns: str | None = None
    multi: str = "skip"
    lower: bool = False
    common: bool = False
    seed: int = 0

    def options(self, task: str) -> str:
        """Return the options of `kotovec evaluate` that ask the same, behind a space."""
        found = {
            f" --columns {argument(self.columns or '')}": self.columns is not None and task == "pairs",
            f" --multi {argument(self.multi)}": self.multi != Request.multi,
            " --lower": self.lower,
            " --common": self.common,
            f" --seed {self.seed}": self.seed != Request.seed,
        }
        return "".join(option for option, given in found.items() if given)


@dataclass(frozen=True)
class Held:
    """A store of a report.

    Attributes:
        title: what it is called.
        path: its folder.
        store: the store.
        spaces: its spaces, without prototypes, whose one vector per token is that of `context`.
    """

    title: str
    path: Path
    store: "Store"
    spaces: Sequence[Space]

    def named(self, space: Space) -> str:
        """Return the row of a space: `bert isolated@12`."""
        return f"{self.title} {space}"


def held_spaces(store: "Store") -> tuple[Space, ...]:
    """Return the spaces of a store that are asked."""
    return tuple(space for space in store.spaces if space.name != PROTOTYPES)


def asked_as(held: Sequence[Held]) -> str:
    """Return the options that name stores and all their spaces."""
    stores = " ".join(f"--store {argument(str(each.path))}" for each in held)
    spaces = dict.fromkeys(str(space) for each in held for space in each.spaces)
    return f"{stores} --space {argument(','.join(spaces))}"
