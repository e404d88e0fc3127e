"""`kotovec coverage`: how many tokens a vocabulary takes for characters and texts, of several stores side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.cli.chosen import find_store, store_titles
from kotovec.cli.encodings import echo
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.list_options import CharsetOption, ListedOption, StoresArgument, TextOption
from kotovec.cli.options import JsonOption, QuietOption, StoreOption
from kotovec.errors import InputError, choices, quoted
from kotovec.text import escaped, json_line, parts

if TYPE_CHECKING:
    from kotovec.store import Store
    from kotovec.store.coverage import Coverage, Fertility


def command(
    stores: StoresArgument = None,
    store: StoreOption = None,
    charset: CharsetOption = None,
    text: TextOption = None,
    listed: ListedOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001 — all that it prints is results; `silence` has heard it
) -> None:
    """Count the characters of a list, or of a text, that are one token, several or none.

    Example: `kotovec coverage --charset joyo`
    """
    from kotovec.store import Store
    from kotovec.store.coverage import Cover, cover, measure

    if listed is not None and listed not in list(Cover):
        raise InputError(f"unknown kind of characters {quoted(listed)}", hint=f"choose {choices(Cover)}")
    if text == "":
        raise InputError("--text names no file", hint="give its path, or `-` for standard input")
    if text == "-" and len(stores or ()) > 1:
        raise InputError("stdin can be read once, and several stores are named", hint="name a file")
    paths = list(stores or [find_store(store)])
    charsets = _charsets(charset) if charset is not None or text is None else {}
    opened = [Store.open(path) for path in paths]
    with ending_at_once():
        found = [[cover(each, name, chars) for each in opened] for name, chars in charsets.items()]
        seen: dict[str, None] = {}
        texts = [measure(each, _seen(_lines(text), seen)) for each in opened] if text is not None else []
        # Those that cannot be seen, too: a zero-width space is unknown to many a vocabulary.
        chars = "".join(char for char in seen if not char.isspace()) if listed is not None else ""
        each_char = [cover(each, str(text), chars) for each in opened] if texts and listed is not None else []
    if as_json:
        _print_json(opened, found, texts, each_char, listed)
        return
    names = store_titles(paths)
    for row in found:
        _print_charset(names, row, listed)
    if texts:
        _print_text(names, str(text), texts)
        _print_listed(names, each_char, listed)


def _charsets(name: str | None) -> dict[str, str]:
    """Return the characters of the lists and files that are named, of all four lists without a name, by their names.

    Raises:
        InputError: a name is neither that of a list nor of a file that can be read.
    """
    from kotovec.store.charsets import NAMES, read_charset

    if name is None:
        return {each: read_charset(each) for each in NAMES}
    if not name.strip():
        raise InputError("--charset is empty", hint=f"choose {choices(NAMES)}, or name a file of text")
    found: dict[str, str] = {}
    for each in [name] if Path(name).exists() else parts(name):
        title = each if each in NAMES else Path(each).name
        found[each if title in found else title] = read_charset(each) if each in NAMES else _chars_of(each)
    return found


def _chars_of(file: str) -> str:
    from kotovec.store.charsets import NAMES, characters

    if not Path(file).exists():
        hint = f"choose {choices(NAMES)}, or name a file of text"
        raise InputError(f"{quoted(file)} is neither a list of characters nor a file", hint=hint)
    chars = characters(_lines(file))
    if not chars:
        raise InputError(f"{file} has no characters", hint=f"put some in it, or choose {choices(NAMES)}")
    return chars


def _lines(file: str) -> Iterator[str]:
    from kotovec.cli.query import read_lines

    return read_lines(file, "lines of text")


def _seen(lines: Iterator[str], seen: dict[str, None]) -> Iterator[str]:
    """Yield lines, and note the characters that they have: standard input is read once."""
    for line in lines:
        seen.update(dict.fromkeys(line))
        yield line


def _print_json(
    opened: "Sequence[Store]",
    found: "Sequence[Sequence[Coverage]]",
    texts: "Sequence[Fertility]",
    each_char: "Sequence[Coverage]",
    listed: str | None,
) -> None:
    """Print a line per store and list, then a line per store for the text."""
    from kotovec.store.coverage import Cover

    for row in found:
        for store, each in zip(opened, row, strict=True):
            chars = {"list": each.chars[Cover(listed)]} if listed is not None else {}
            echo(json_line({"store": str(store.path)} | each.as_dict() | chars))
    for number, text in enumerate(texts):
        chars = {"list": each_char[number].chars[Cover(listed)]} if listed is not None else {}
        echo(json_line({"store": str(opened[number].path), "text": text.as_dict()} | chars))


def _print_charset(names: Sequence[str], row: "Sequence[Coverage]", listed: str | None) -> None:
    from kotovec.cli.tables import print_table, shown
    from kotovec.store.coverage import Cover

    total = row[0].total
    rows = [[kind.label, *(f"{len(each.chars[kind]):,}" for each in row)] for kind in Cover]
    rows.append(["tokens per character", *(_ratio(each.per_character) for each in row)])
    print_table([f"{shown(row[0].charset)}, {total:,} characters", *map(shown, names)], rows, numbers=names)
    _print_listed(names, row, listed)


def _print_listed(names: Sequence[str], row: "Sequence[Coverage]", listed: str | None) -> None:
    from kotovec.cli.tables import console, shown
    from kotovec.store.coverage import Cover

    if listed is not None:
        kind = Cover(listed)
        for name, each in zip(names, row, strict=True):
            chars = escaped(each.chars[kind], keep="") or "none"
            console().print(f"{shown(name)}, {kind.label}: ", chars, sep="", markup=False)


def _ratio(number: float) -> str:
    return "-" if number != number else f"{number:.4f}"  # noqa: PLR0124 — NaN, of no characters


def _print_text(names: Sequence[str], file: str, texts: "Sequence[Fertility]") -> None:
    from kotovec.cli.tables import print_table, shown

    rows = [
        ["characters", *(f"{each.characters:,}" for each in texts)],
        ["tokens", *(f"{each.tokens:,}" for each in texts)],
        ["unknown tokens", *(f"{each.unknown:,}" for each in texts)],
        ["tokens per character", *(_ratio(each.per_character) for each in texts)],
    ]
    if any(each.unspelled for each in texts):
        rows.append(["lines left out: no tokens spell them", *(f"{each.unspelled:,}" for each in texts)])
    print_table([shown(file), *map(shown, names)], rows, numbers=names)
