"""`kotovec info`: what a store contains, and where it came from."""

from collections.abc import Iterator
from typing import Any

from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo, message, own
from kotovec.cli.options import JsonOption, QuietOption, StoreOption
from kotovec.space import Space
from kotovec.text import counted, json_line


def command(store: StoreOption = None, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Print what a store contains and where it came from.

    Example: `kotovec info --json`
    """
    from kotovec.cli.tables import mecab, megabytes, notice, print_pairs, template

    with open_store(store) as opened:
        info, tokens = opened.info(), opened.tokens
    if as_json:
        echo(json_line(info))
        return
    origin, spaces = info["provenance"], info["spaces"]
    noun = tokens.noun
    named = tokens if noun == "token" else None
    shape = template(origin.get("template_prefix", ()), origin.get("template_suffix", ()), named, noun)
    cpus = ", ".join(origin.get("cpus", ()))
    hosts = counted(origin.get("hosts", 0), "host")
    computed = f"in {origin['dtype']} on {origin['device']} ({cpus}), {hosts}" if cpus else ""
    pairs = [
        ("store", f"{info['path']}  ({megabytes(info['bytes'])})"),
        *([("model", _model(origin))] if origin["model"] else []),
        *_rows(info),
        *_spaces(spaces),
        *_tables(info["tables"]),
        *_contexts(info.get("contexts", {}), noun),
        *_prototypes(info.get("prototypes", {}), noun),
        *([("template", shape)] if any("@" in name for name in spaces) else []),
        *([("sentence", info["sentence"])] if "sentence" in info else []),
        *([("computed", computed)] if computed else []),
        ("built", f"{origin['started']} to {origin['finished']}"),
        ("command", origin["command"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in origin["versions"].items())),
        ("file" if origin.get("imported") else "weights", origin["weights_sha256"]),
    ]
    if origin.get("mecab_dic"):
        pairs.append(("MeCab", mecab(origin["mecab_dic"], assumed=origin["mecab_assumed"])))
    print_pairs([*pairs, *map(_index, info["indexes"]), *map(_map, info["maps"]), *map(_near, info["neighbours"])])
    for note in filter(None, origin.get("notices", "").splitlines()):
        notice(f"note: {note}", quiet=quiet)


def _model(origin: dict[str, Any]) -> str:
    """Return the model: its id and revision, the folder that it was read from, or both for a model of a package."""
    from kotovec.workers.address import DEMO

    name, folder = origin["model"], origin["model_folder"]
    named = (name, origin["revision"], folder) if not folder or name == DEMO else (folder,)
    return " ".join(filter(None, named))


def _rows(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the rows of a store are: the tokens of a vocabulary, or the words of a list."""
    from kotovec.cli.tables import left_out, words_left_out, words_origin

    origin = info["provenance"]
    if about := origin.get("imported"):
        yield "words", f"{info['tokens']:,} of {about['file']} ({about['format']})"
        return
    if about := origin.get("words"):
        yield "words", f"{info['tokens']:,} of {words_origin(about)}, {counted(info['pieces'], 'token')} together"
        yield from words_left_out(about)
        yield "list", f"SHA-256 {about['sha256']}"
        return
    yield "tokens", f"{info['tokens']:,}: " + ", ".join(f"{n:,} {kind}" for kind, n in info["kinds"].items() if n)
    filtered = origin.get("tokens_filtered_out", 0), origin["token_filter"]
    # Rows without a token that a table keeps are named with it.
    kept = max((about.get("unnamed_rows") or 0 for about in info["tables"].values()), default=0)
    yield from left_out(max(0, origin["rows_without_token"] - kept), origin["tokens_without_row"], *filtered)


def _spaces(spaces: dict[str, dict[str, object]]) -> Iterator[tuple[str, str]]:
    """Yield one name and value per kind of space and shape of its layers."""
    lines: dict[tuple[str, str], list[str]] = {}
    for text, about in spaces.items():
        name, _, layer = text.partition("@")
        lines.setdefault((name, _shape(about)), []).append(layer)
    for (name, shape), layers in lines.items():
        noun = "layer" if len(layers) == 1 else "layers"
        yield name, shape if layers == [""] else f"{shape}, {noun} {', '.join(layers)}"


def _contexts(contexts: dict[str, dict[str, Any]], noun: str) -> Iterator[tuple[str, str]]:
    """Yield how many items have contexts, once for all layers of one sample, and how their vectors scatter in each."""
    counted_before = None
    for name, about in contexts.items():
        numbers = tuple(about[part] for part in ("limit", "complete", "fewer", "none"))
        if numbers != counted_before and about["limit"] is not None:
            limit, complete, fewer, none = numbers
            shares = f"{complete:,} with {limit}, {fewer:,} with fewer, {none:,} with none"
            yield "contexts", f"of a {noun}: {shares}; {about['vectors']:,} vectors averaged"
        counted_before = numbers
        measures = [
            f"{title} {about[key]:.3f}"
            for key, title in (
                ("self_similarity", "self-similarity"),
                ("random_similarity", f"of two random {noun}s"),
                ("random_cosine", "mean cosine of random pairs"),
                ("reliability", "reliability"),
            )
            if about.get(key) is not None
        ]
        if measures:
            yield name, ", ".join(measures)


def _prototypes(prototypes: dict[str, dict[str, Any]], noun: str) -> Iterator[tuple[str, str]]:
    """Yield how many centres there are, and of how many contexts each is the mean."""
    for name, about in prototypes.items():
        limit, size = about["limit"], about["mean_size"]
        most = "" if limit is None else f", up to {limit} each"
        of = "" if size is None else f"; a mean of {size:.1f} contexts each"
        centres = counted(about["centres"], "centre")
        yield name, f"{centres} of {counted(about['items'], noun)}{most}{of}"


def _index(index: dict[str, Any]) -> tuple[str, str]:
    """Return the line of an index, with its space as a person reads it."""
    how = " ".join(filter(None, (index["metric"], index["factory"], index["parameters"])))
    stale = "" if index["usable"] else "  (of other vectors: not used; kotovec index builds it again)"
    return "index", f"{Space.parse(index['space']).title}; {how}; {_written(index)}{stale}"


def _near(kept: dict[str, Any]) -> tuple[str, str]:
    """Return the line of the nearest tokens of all tokens."""
    stale = "" if kept["usable"] else "  (of other vectors: not used; kotovec neighbours finds them again)"
    return "nearest", f"{Space.parse(kept['space']).title}; {kept['metric']}, {kept['k']} each; {_written(kept)}{stale}"


def _map(map_: dict[str, Any]) -> tuple[str, str]:
    """Return the line of a map."""
    sample = "a sample of " if "sample" in map_["parameters"] else ""
    what = f"{map_['method']} of {sample}{counted(map_['tokens'], 'token')}, seed {map_['seed']}"
    stale = "" if map_["usable"] else "  (of other vectors: not used; kotovec map makes it again)"
    return "map", f"{Space.parse(map_['space']).title}; {what}; {_written(map_)}{stale}"


def _written(file: dict[str, Any]) -> str:
    """Return the size of a file and when it was written, in UTC as the times of the build are."""
    from kotovec.cli.tables import megabytes

    return f"{megabytes(file['bytes'])}; {file['written']}"


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
        if about.get("scale"):
            yield "logits times", message(str(about["scale"]))
        if about.get("norm"):
            yield "last norm", f"{about['norm']['kind']}, {about['norm']['tensor']}"


def _shape(space: dict[str, object]) -> str:
    shape = space["shape"]
    assert isinstance(shape, list)  # noqa: S101 — for the type checker
    return f"{shape[0]:,} {own('×')} {shape[1]} {space['dtype']}"
