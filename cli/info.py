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
    from kotovec.cli.tables import left_out, mecab, megabytes, notice, print_pairs
    from kotovec.store import Store

    info = Store.open(find_store(store)).info()
    if as_json:
        echo(json_line(info))
        return
    origin, spaces = info["provenance"], info["spaces"]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in info["kinds"].items() if count)
    template = [*map(str, origin["template_prefix"]), "token", *map(str, origin["template_suffix"])]
    cpus = ", ".join(origin.get("cpus", ()))
    pairs = [
        ("store", f"{info['path']}  ({megabytes(info['bytes'])})"),
        ("model", " ".join(filter(None, (origin["model"], origin["revision"], origin["model_folder"])))),
        ("tokens", f"{info['tokens']:,}: {kinds}"),
        (
            "left out",
            left_out(
                origin["rows_without_token"],
                origin["tokens_without_row"],
                origin.get("tokens_filtered_out", 0),
                origin["token_filter"],
            ),
        ),
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
