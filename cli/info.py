"""`kotovec info`: what a store contains, and where it came from."""

from collections.abc import Iterator
from typing import Any

from kotovec.cli.chosen import find_store
from kotovec.cli.encodings import echo
from kotovec.cli.options import JsonOption, QuietOption, StoreOption
from kotovec.text import counted, json_line


def command(store: StoreOption = None, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Print what a store contains and where it came from.

    Example: `kotovec info --json`
    """
    from kotovec.cli.tables import mecab, megabytes, notice, print_pairs
    from kotovec.store import Store

    info = Store.open(find_store(store)).info()
    if as_json:
        echo(json_line(info))
        return
    origin, spaces = info["provenance"], info["spaces"]
    noun = "word" if origin.get("words") else "token"
    template = [*map(str, origin["template_prefix"]), noun, *map(str, origin["template_suffix"])]
    cpus = ", ".join(origin.get("cpus", ()))
    pairs = [
        ("store", f"{info['path']}  ({megabytes(info['bytes'])})"),
        ("model", " ".join(filter(None, (origin["model"], origin["revision"], origin["model_folder"])))),
        *_rows(info),
        *_spaces(spaces),
        *_tables(info["tables"]),
        *([("template", " ".join(template))] if any("@" in name for name in spaces) else []),
        *(
            [("computed", f"in {origin['dtype']} on {origin['device']} ({cpus}), {counted(origin['hosts'], 'host')}")]
            if cpus
            else []
        ),
        ("built", f"{origin['started']} to {origin['finished']}"),
        ("command", origin["command"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in origin["versions"].items())),
        ("weights", origin["weights_sha256"]),
    ]
    if origin["mecab_dic"]:
        pairs.append(("MeCab", mecab(origin["mecab_dic"], assumed=origin["mecab_assumed"])))
    for index in info["indexes"]:
        stale = "" if index["usable"] else "  (of other vectors: not used; kotovec index builds it again)"
        pairs.append(("index", f"{index['name']}  {index['factory']} {index['parameters']}{stale}".rstrip()))
    print_pairs(pairs)
    for note in filter(None, origin["notices"].splitlines()):
        notice(f"note: {note}", quiet=quiet)


def _rows(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the rows of a store are: the tokens of a vocabulary, or the words of a list."""
    from kotovec.cli.tables import left_out, words_left_out, words_origin

    origin = info["provenance"]
    if about := origin.get("words"):
        yield "words", f"{info['tokens']:,} of {words_origin(about)}, {counted(info['pieces'], 'token')} together"
        yield "left out", words_left_out(about)
        yield "list", f"SHA-256 {about['sha256']}"
        return
    yield "tokens", f"{info['tokens']:,}: " + ", ".join(f"{n:,} {kind}" for kind, n in info["kinds"].items() if n)
    filtered = origin.get("tokens_filtered_out", 0), origin["token_filter"]
    yield "left out", left_out(origin["rows_without_token"], origin["tokens_without_row"], *filtered)


def _spaces(spaces: dict[str, dict[str, object]]) -> Iterator[tuple[str, str]]:
    """Yield one name and value per kind of space and shape of its layers."""
    lines: dict[tuple[str, str], list[str]] = {}
    for text, about in spaces.items():
        name, _, layer = text.partition("@")
        lines.setdefault((name, _shape(about)), []).append(layer)
    for (name, shape), layers in lines.items():
        yield name, shape if layers == [""] else f"{shape}, layers {', '.join(layers)}"


def _tables(tables: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield a name and what is to be known for each table: the tensor that it is, and what an output comes after."""
    for name, about in tables.items():
        if name == "output" and about.get("tied"):
            yield "output", f"tied to static: {about['tied']}"
        else:
            unnamed = about.get("unnamed_rows")
            rows = f", and {counted(unnamed, 'row')} without a token, as #id" if unnamed else ""
            dtype = f" ({about['tensor_dtype']})" if "tensor_dtype" in about else ""
            yield f"{name} is", f"{about.get('tensor', 'of an earlier version')}{dtype}{rows}"
        if about.get("before"):
            yield "before output", str(about["before"])
        if about.get("norm"):
            yield "last norm", f"{about['norm']['kind']}, {about['norm']['tensor']}"


def _shape(space: dict[str, object]) -> str:
    shape = space["shape"]
    assert isinstance(shape, list)  # noqa: S101 — for the type checker
    return f"{shape[0]:,} × {shape[1]} {space['dtype']}"
