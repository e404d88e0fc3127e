"""The stores of a report with the spaces that are asked, and how a command line names them."""

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
