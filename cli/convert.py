"""`kotovec convert`: import a file of vectors into a store, or export a space of a store into a file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kotovec.cli.chosen import choose_spaces, is_typed, open_store
from kotovec.cli.convert_options import (
    EscapedOption,
    FormatOption,
    FromArgument,
    NgramWordsOption,
    ReplaceOption,
    ToArgument,
)
from kotovec.cli.encodings import echo, own
from kotovec.cli.list_options import OneSpaceOption
from kotovec.cli.options import LayerOption, QuietOption
from kotovec.cli.outputs import check_apart
from kotovec.errors import InputError, quoted
from kotovec.text import argument, counted

if TYPE_CHECKING:
    from kotovec.space import Space
    from kotovec.store.exchange.formats import Format

STORE = ".kotovec"


def command(
    context: typer.Context,
    source: FromArgument = None,
    target: ToArgument = None,
    space: OneSpaceOption = "static",
    layer: LayerOption = None,
    format_: FormatOption = None,
    escaped: EscapedOption = False,
    words: NgramWordsOption = None,
    overwrite: ReplaceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Import a file of vectors into a new store, or export a space of a store into such a file.

    Example: `kotovec convert demo.kotovec demo.safetensors`
    """
    if source is None or target is None:
        raise InputError("two paths are needed", hint="write `kotovec convert FROM TO`")
    check_apart(target, [source, *([words] if words is not None else [])])
    found = None if format_ is None else _format(format_)
    if source.is_dir() or source.suffix == STORE:
        if escaped:
            raise InputError("--escaped is of an import", hint="leave it out: an export lists what it escapes")
        _check_idle(context, ("words",), "an import")
        _export(source, target, space, layer, found, overwrite=overwrite, quiet=quiet)
    else:
        _check_idle(context, ("space", "layer"), "an export")
        _import(source, target, found, words, escaped=escaped, overwrite=overwrite, quiet=quiet)


def _check_idle(context: typer.Context, names: Sequence[str], what: str) -> None:
    """Refuse options that are typed and are of the other direction.

    Raises:
        InputError: one is typed.
    """
    for name in names:
        if is_typed(context, name):
            raise InputError(f"--{name} is of {what}", hint="leave it out")


def _format(name: str) -> "Format":
    from kotovec.store.exchange.formats import named

    return named(name)


def _import(
    source: Path,
    target: Path,
    found: "Format | None",
    more: Path | None,
    *,
    escaped: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    from kotovec.cli.tables import notice
    from kotovec.store.exchange.escapes import ENDING, is_list
    from kotovec.store.exchange.importing import import_vectors

    if target.suffix != STORE:
        problem = f"{target} is neither a store nor made from one"
        raise InputError(problem, hint=f"name a folder that ends in {STORE} to import {quoted(source)}")
    command = ["kotovec", *sys.argv[1:]]
    made = import_vectors(
        source, target, format=found, overwrite=overwrite, escaped=escaped, words=more, command=command
    )
    words = f"{counted(made.words, 'word')} {own('×')} {counted(made.dimensions, 'dimension')}"
    echo(f"{words} of {source} ({made.format}) imported into {target}")
    if made.format == "fasttext-bin":
        others = "a store holds no n-grams, and answers no other words; --words FILE adds those of a file"
        notice(f"note: {others}", quiet=quiet or more is not None)
    listing = Path(f"{source}{ENDING}")
    if not escaped and is_list(listing):
        notice(f"note: {listing} lists escaped words, which --escaped would undo", quiet=quiet)


def _export(
    source: Path, target: Path, space: str, layer: int | None, found: "Format | None", *, overwrite: bool, quiet: bool
) -> None:
    from kotovec.cli.tables import notice
    from kotovec.store.exchange.exporting import export_vectors

    with open_store(source) as opened:
        chosen = _one_space(choose_spaces(space, layer, opened.spaces))
        made = export_vectors(opened, chosen, target, format=found, overwrite=overwrite)
    words = f"{counted(made.words, 'word')} {own('×')} {counted(made.dimensions, 'dimension')}"
    echo(f"{words} of {made.space} written to {target} ({made.format})")
    if made.left_out:
        notice(f"note: {counted(made.left_out, 'token')} without a vector in {made.space} left out", quiet=quiet)
    if made.listed is not None:
        back = f"`kotovec convert {argument(str(target))} NAME.kotovec --escaped` undoes it"
        what = f"{counted(made.escaped, 'word')} that {made.format} cannot hold as they are"
        notice(f"note: {what} escaped, listed in {made.listed}; {back}", quiet=quiet)


def _one_space(wanted: "tuple[Space, ...]") -> "Space":
    if len(wanted) > 1:
        raise InputError(f"--space names {len(wanted)} spaces", hint="name one")
    return wanted[0]
