"""The store and the spaces that a command is asked about."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.errors import InputError, StoreNotFoundError, quoted
from kotovec.space import Space, parse_spaces, resolve, usual
from kotovec.text import parts

if TYPE_CHECKING:
    from kotovec.store import Store


class AmbientLayer(int):
    """A layer from the environment, which applies only to the spaces that have layers."""


class Ambient(str):
    """A value from the environment, which other commands share."""

    __slots__ = ()


class UsualText(str):
    """A default, which gives way to what a store has."""

    __slots__ = ()


class UsualInt(int):
    """A default, which is lowered to what a store has."""

    __slots__ = ()


class UsualFloat(float):
    """A default, which is lowered to what a store has."""

    __slots__ = ()


def mark_usual(context: Any, parameter: Any, value: Any) -> Any:
    """Return the value of an option, marked where it is the default: the callback of an option."""
    source = context.get_parameter_source(str(parameter.name))
    if source is None or source.name != "DEFAULT":
        return value
    return {str: UsualText, int: UsualInt, float: UsualFloat}[type(value)](value)


def mark_ambient(context: Any, parameter: Any, value: Any) -> Any:
    """Return the text of an option, marked where it comes from the environment: the callback of an option."""
    return Ambient(value) if is_ambient(context, str(parameter.name)) else value


def usual_space(text: str, stored: Sequence[Space]) -> str:
    """Return the spaces that an option names; a default is one that the store has."""
    return usual(stored) if isinstance(text, UsualText) else text


def lowered(number: Any, most: int) -> Any:
    """Return the value of an option; a default is at most `most`."""
    if isinstance(number, UsualInt):
        return min(int(number), most)
    return min(float(number), float(most)) if isinstance(number, UsualFloat) else number


def is_ambient(context: Any, name: str) -> bool:
    """Return whether an option was set by its environment variable, which one on the command line overrides."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def is_typed(context: Any, name: str) -> bool:
    """Return whether an option stands on the command line: what the environment gives may be for other commands."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def choose_spaces(text: str, layer: int | None, stored: Sequence[Space]) -> tuple[Space, ...]:
    """Return the stored spaces that `--space` and `--layer` ask for, each once.

    Raises:
        InputError: a space is unknown; the hint names those in the store.
        NotStoredError: the store does not hold one, or `--layer` was given for a space without layers.
    """
    return resolve(_named(text, layer, stored), stored)


def ask_spaces(text: str, layer: int | None, stored: Sequence[Space]) -> tuple[Space, ...]:
    """Return the same spaces as they were named: `output` may be stored as `static`, and an answer says so.

    Raises:
        InputError, NotStoredError: as `choose_spaces`.
    """
    named = _named(text, layer, stored)
    names = {space.among(stored): space for space in reversed(named)}
    return tuple(names[space] for space in resolve(named, stored))


def _named(text: str, layer: int | None, stored: Sequence[Space]) -> list[Space]:
    spaces = parse_spaces(usual_space(text, stored), stored)
    layered = [space.at(layer) if space.layer == -1 else space for space in spaces]
    if layer in (None, -1) or isinstance(layer, AmbientLayer) or any(space.layer == -1 for space in spaces):
        return layered
    for space in layered:
        if space.layer not in (None, layer):
            raise InputError(f"--layer {layer} and {space} name two layers", hint="leave out one of them")
    return layered if any(space.layer is not None for space in layered) else [space.at(layer) for space in spaces]


def choose_layers(text: str, layers: str, stored: Sequence[Space]) -> list[Space]:
    """Return the stored spaces that a list names; one that has layers and names none is taken in those of --layers.

    Raises:
        InputError: a list cannot be read.
        NotStoredError: the store does not hold a space, or a layer.
    """
    found: list[Space] = []
    spaces = parse_spaces(text, stored)
    if layers not in ("last", "all") and not isinstance(layers, Ambient) and all(each.layer != -1 for each in spaces):
        problem = f"--layers {layers} is of spaces that are named without a layer, and there is none"
        raise InputError(problem, hint="leave it out, or name a space such as `isolated`")
    for space in spaces:
        if space.layer != -1 or layers == "last":
            found += resolve([space], stored)
        elif layers == "all":
            alike = [each for each in stored if (each.name, each.steps, each.first) == (space.name, space.steps, None)]
            found += alike or resolve([space], stored)
        else:
            found += resolve([space.at(number) for number in _numbers(layers)], stored)
    return found


def _numbers(layers: str) -> list[int]:
    try:
        return [int(part) for part in parts(layers)]
    except ValueError as error:
        problem = f"--layers {quoted(layers)} is not a list of layers"
        raise InputError(problem, hint="choose `last`, `all`, or numbers such as `0,6`") from error


def find_store(store: Path | None) -> Path:
    """Return the path of the store: the one named, or the only one in the working directory.

    Raises:
        StoreNotFoundError: the working directory has none, or several.
    """
    if store is not None:
        return store
    found = sorted(path for path in Path().glob("*.kotovec") if path.is_dir())
    if not found:
        raise StoreNotFoundError(
            "there is no *.kotovec here", hint="build one with `kotovec build`, or name one with --store"
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise StoreNotFoundError(
            f"there are several stores here ({names})", hint="name one with --store or KOTOVEC_STORE"
        )
    return found[0]


def find_stores(stores: Sequence[Path] | None) -> list[Path]:
    """Return the paths of the stores that are named, or the only one in the working directory.

    Raises:
        StoreNotFoundError: as in `find_store`.
        InputError: a store is named twice.
    """
    paths = list(stores or [find_store(None)])
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a store is named twice", hint="name each store once")
    return paths


def store_titles(paths: Sequence[Path]) -> list[str]:
    """Return the names of stores, or the paths of those whose names are the same."""
    names = [path.name.removesuffix(".kotovec") for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def open_store(store: Path | None, *, verify: bool = False) -> "Store":
    """Open the store that a command is asked about.

    Raises:
        StoreNotFoundError, StoreError, DamagedError: as `find_store` and `Store.open`.
    """
    from kotovec.store import Store

    return Store.open(find_store(store), verify=verify)
