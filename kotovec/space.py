"""A space of vectors as a value: how it is written, how its file is named, and how it is found in a store.

`static` and `isolated@12` are spaces; `isolated@-1`, or `isolated` alone, is the last layer that a store holds, and
is resolved once, when the user's input is matched with a store (`Space.among`). The grammar:

    NAME [@LAYER | @FIRST-LAST] [+STEP …]        such as  context@0-6+center+abtt3
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import total_ordering
from types import MappingProxyType

from kotovec.errors import InputError, NotStoredError, choices, quoted
from kotovec.text import parts

TABLES = ("static", "output", "imported")  # rows of a matrix: they have no layer
IN_PART = "tables:"  # begins the identity of weights of which tables alone were read: what else there is is unknown
PROTOTYPES = "prototypes"  # of several vectors per token; in `context` they have their mean
LAYERED = ("isolated", "template", "context", PROTOTYPES)  # hidden states
NAMES = ("static", "isolated", "template", "context", PROTOTYPES, "output", "imported")
_SOURCES = {"template": ' --template "this is a {}."', "context": " --corpus FILE"}  # what makes such a space
BOTH = "static,isolated"  # what `both` is short for
MOST_NAMED = 8  # spaces in a hint
_STEPS = r"(?:\+[a-z][a-z0-9.:]*)*"
_SPACE = re.compile(rf"(?P<name>[a-z]+)(?:@(?:(?P<first>\d+)-)?(?P<layer>-?\d+))?(?P<steps>{_STEPS})")
_STEM = re.compile(rf"(?P<name>[a-z]+)(?:-(?:(?P<first>\d+)-)?(?P<layer>\d+))?(?P<steps>{_STEPS})")
STEM = rf"(?:{'|'.join(NAMES)})(?:-(?:\d+-)?\d+)?{_STEPS}"  # the same as a part of another expression


@total_ordering
@dataclass(frozen=True)
class Space:
    """A space of vectors.

    Attributes:
        name: the kind of vectors, one of `NAMES`.
        layer: the layer of the hidden states: 0 is the output of the embeddings, −1 the last layer stored, −2 the one
            before it; None for a table.
        first: the first layer of a mean over the layers `first` to `layer`; None for a single layer.
        steps: the steps that the space was derived by, in order, such as `center`.

    Raises:
        InputError: the parts do not fit together.
    """

    name: str
    layer: int | None = None
    first: int | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"unknown space {quoted(self.name)}", hint=f"choose {choices(NAMES)}")
        if self.name in TABLES and self.layer is not None:
            raise NotStoredError(f"{self.name} has no layer {self.layer}", hint="choose `isolated` for a layer")
        if self.name in LAYERED and self.layer is None:
            object.__setattr__(self, "layer", -1)
        if self.first is not None and not (self.layer is not None and 0 <= self.first < self.layer):
            raise InputError(
                f"{self}: the layers of a mean do not ascend", hint="write the smaller one first: `context@0-6`"
            )

    @classmethod
    def parse(cls, text: str, stored: Sequence["Space"] = ()) -> "Space":
        """Read a space as a user writes it: `static`, `isolated`, `isolated@12`, `context@0-6+center`.

        Args:
            text: the space.
            stored: the spaces to choose from, which the hint about an unknown one names.

        Raises:
            InputError: the text cannot be read.
            NotStoredError: a layer is given for a space that has none.
        """
        found = _SPACE.fullmatch(text.strip())
        if stored and (found is None or found["name"] not in NAMES):
            raise InputError(f"unknown space {quoted(text.strip())}", hint=f"choose {choices(_named(stored))}")
        if found is None:
            raise InputError(
                f"{quoted(text)} is not a space", hint="choose `static`, `isolated`, or `isolated@12` for a layer"
            )
        return cls._of(found)

    @classmethod
    def of_stem(cls, stem: str) -> "Space":
        """Read a space from the name of its file without the suffix, such as `isolated-12`.

        Raises:
            InputError: the name is not that of a space.
        """
        found = _STEM.fullmatch(stem)
        if found is None:
            raise InputError(f"{quoted(stem)} is not the name of a space")
        return cls._of(found)

    @classmethod
    def _of(cls, found: "re.Match[str]") -> "Space":
        first, layer = (None if found[part] is None else int(found[part]) for part in ("first", "layer"))
        return cls(found["name"], layer, first, tuple(filter(None, found["steps"].split("+"))))

    def __str__(self) -> str:
        """Return the written form of the space, which `parse` reads."""
        return self._written("@")

    @property
    def stem(self) -> str:
        """The name of its file without the suffix: `isolated-12`."""
        return self._written("-")

    @property
    def title(self) -> str:
        """The name of the space for a person: `isolated, layer 12`."""
        first = "" if self.first is None else f"{self.first} to "
        layers = () if self.layer is None else (f"layer{'s' if first else ''} {first}{self.layer}",)
        return ", ".join((self.name, *layers, *self.steps))

    def _written(self, mark: str) -> str:
        first = "" if self.first is None else f"{self.first}-"
        layer = "" if self.layer is None else f"{mark}{first}{self.layer}"
        return "+".join((f"{self.name}{layer}", *self.steps))

    def __lt__(self, other: "Space") -> bool:
        """Order by name, as in `NAMES`, then by layer, then by steps."""
        return self._key < other._key

    @property
    def _key(self) -> tuple[int, float, float, tuple[str, ...]]:
        layer, first = (math.inf if part is None else part for part in (self.layer, self.first))
        return (NAMES.index(self.name), layer, first, self.steps)

    @property
    def averaged(self) -> "Space":
        """The space with one vector per token: of prototypes, `context` in the same layer; of all others, itself."""
        return replace(self, name="context") if self.name == PROTOTYPES else self

    def at(self, layer: int | None) -> "Space":
        """Return the same space at another layer, as `--layer` gives it; None and −1, the last one, change nothing.

        Raises:
            NotStoredError: the space has no layers.
        """
        return self if layer in (None, -1) else replace(self, layer=layer, first=None)

    def among(self, stored: Sequence["Space"]) -> "Space":
        """Return the stored space that this one refers to: a negative layer counts from the last one stored.

        A space that is tied to another one is that other one.

        Raises:
            NotStoredError: the store does not hold it; the message names the spaces or layers that it holds.
        """
        if self in stored:
            return self
        if isinstance(stored, Stored) and self in stored.tied:
            return stored.tied[self]
        alike = [each for each in sorted(stored) if (each.name, each.steps) == (self.name, self.steps)]
        if self.layer is not None and -len(alike) <= self.layer < 0:
            return alike[self.layer]
        raise self._missing(alike, stored)

    def _missing(self, alike: Sequence["Space"], stored: Sequence["Space"]) -> NotStoredError:
        origin = (stored.origin() if isinstance(stored, Stored) else None) or Origin()
        if alike and self.layer is not None:
            layers = ", ".join(str(each.layer) for each in alike)
            hint = f"choose one of these{self._addition(origin, alike)}"
            return NotStoredError(f"layer {self.layer} is not in this store: it holds {layers}", hint=hint)
        held = [str(space) for space in sorted(stored)]
        hint = f"choose {choices(held)}{self._addition(origin, alike)}"
        named = "+".join((self.name, *self.steps)) if self.layer == -1 else self
        return NotStoredError(f"{named} is not in this store: it holds {', '.join(held)}", hint=hint)

    def _addition(self, origin: "Origin", alike: Sequence["Space"]) -> str:
        """Return the end of a hint: the command that adds the space, or why none does; empty for neither."""
        layer, depth = self.layer, origin.depth
        if self.name not in (*BOTH.split(","), "output", *_SOURCES) or self.steps or self.first is not None:
            return ""
        if self.name in _SOURCES and (alike or origin.states):  # more layers take the same sentences
            return ""
        if layer is not None and depth is not None and layer > depth:
            return f"; the model has the layers 0 to {depth}"
        if self.name == "output" and origin.headless:
            return f"; {origin.headless} has no output matrix"
        if origin.build is None or (alike and depth is None and layer is not None and layer >= 0):
            return ""
        if layer is None:
            options = " --spaces output" if self.name == "output" else ""
        else:
            options = _SOURCES.get(self.name, origin.states) + (
                "" if layer == -1 else f" --layers {'all' if layer < 0 else layer}"
            )
        return f", or add {'more' if alike and (layer or 0) < 0 else 'it'} with {quoted(origin.build + options)}"


STATIC = Space("static")
OUTPUT = Space("output")


@dataclass(frozen=True)
class Origin:
    """What the spaces of a store were built from, for a hint.

    Attributes:
        build: the command that adds a space, without its options; None where it takes more than a model.
        states: options that it needs for hidden states, each after a space: to a store of tables alone they are not
            added, and it is built again.
        depth: the number of the model's layers; None where it is not known.
        headless: the class of a model that is known to have no output matrix; empty for all others.
    """

    build: str | None = "kotovec build MODEL"
    depth: int | None = None
    states: str = ""
    headless: str = ""


class Stored(tuple[Space, ...]):  # noqa: SLOT001 — a subclass of tuple can have none with contents
    """The spaces of a store, in order.

    Attributes:
        tied: spaces that are another one, and are stored once: `output` where it is tied to `static`.
        origin: returns what they were built from, as far as it is known.
    """

    tied: Mapping[Space, Space] = MappingProxyType({})
    origin: Callable[[], Origin | None] = staticmethod(lambda: None)

    @classmethod
    def of(
        cls,
        spaces: Iterable[Space],
        tied: Mapping[Space, Space],
        origin: Callable[[], Origin | None] = lambda: None,
    ) -> "Stored":
        """Return the spaces of a store, some of which are tied to others."""
        stored = cls(sorted(spaces))
        stored.tied, stored.origin = dict(tied), origin
        return stored

    def __reduce__(self) -> tuple[Callable[..., "Stored"], tuple[object, ...]]:
        """Return what it is pickled as: without its origin, which is that of open files."""
        return Stored.of, (tuple(self), dict(self.tied))


def usual(stored: Sequence[Space]) -> str:
    """Return the space of a store that is meant where none is named: `static`, or its first one in the last layer."""
    if STATIC in stored or not stored:
        return STATIC.name
    first = min(stored)
    return "+".join((first.name, *first.steps)) if first.first is None else str(first)


def titles(spaces: Iterable[Space]) -> str:
    """Return spaces for a person, the layers of one kind together: `static; isolated, layers 0, 6`."""
    kinds: dict[tuple[object, ...], list[Space]] = {}
    for space in sorted(spaces):
        single = space.layer is not None and space.first is None
        kinds.setdefault((space.name, space.steps) if single else (space,), []).append(space)
    return "; ".join(map(_title, kinds.values()))


def _title(alike: Sequence[Space]) -> str:
    """Return one title for spaces that differ in their layers alone."""
    if len(alike) == 1:
        return alike[0].title
    layers = ", ".join(str(space.layer) for space in alike)
    return ", ".join((alike[0].name, f"layers {layers}", *alike[0].steps))


def parse_spaces(text: str, stored: Sequence[Space] = ()) -> tuple[Space, ...]:
    """Read a list of spaces, `static,isolated@12`; `both`, alone or in the list, is short for static and isolated.

    Args:
        text: the list.
        stored: as in `Space.parse`.

    Raises:
        InputError: the list cannot be read.
        NotStoredError: a layer is given for a space that has none.
    """
    names = [name for part in parts(text) for name in (BOTH.split(",") if part == "both" else [part])]
    return tuple(dict.fromkeys(Space.parse(name, stored) for name in names))


def _named(stored: Sequence[Space]) -> list[str]:
    """Return how to write some spaces: with their layers, unless these are too many for a line."""
    if len(stored) <= MOST_NAMED:
        return [str(space).removesuffix("@-1") for space in sorted(stored)]
    return list(dict.fromkeys("+".join((space.name, *space.steps)) for space in sorted(stored)))


def resolve(spaces: Iterable[Space], stored: Sequence[Space]) -> tuple[Space, ...]:
    """Return the stored spaces that a list of spaces refers to, without duplicates.

    Raises:
        NotStoredError: the store does not hold one of them.
    """
    return tuple(dict.fromkeys(space.among(stored) for space in spaces))
