"""What `kotovec build --dry-run` prints: the plan, and what a build would do with what the store holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.cli.encodings import echo
from kotovec.text import counted, json_line

if TYPE_CHECKING:
    from kotovec.cli.child import Result
    from kotovec.cluster.plan import Plan
    from kotovec.cluster.remaining import Outlook
    from kotovec.cluster.where import Resources


def describe(plan: "Plan", outlook: "Outlook", target: Path, where: "Resources") -> "Result":
    """Return a plan as `data` for a program and as `pairs` for a person.

    Args:
        plan: the plan of the complete store.
        outlook: what the build would do with what the store holds already.
        target: the folder of the store.
        where: the workers that are requested.
    """
    from kotovec.cluster.size import store_bytes
    from kotovec.cluster.where import count_workers
    from kotovec.space import titles

    wanted = 0 if plan.in_part else count_workers(plan, where)
    workers = None if wanted is None else min(wanted, len(plan.shards))
    size = store_bytes(plan)
    peak = plan.peak_bytes(len(plan.tokens)) + size - plan.vector_bytes - plan.index_bytes
    data = {
        "model": plan.model.name,
        "store": str(target),
        "state": outlook.state,
        "missing_spaces": list(map(str, outlook.spaces)),
        "missing_shards": outlook.shards - outlook.encoded,
        "tokens": len(plan.tokens),
        "kinds": plan.counts,
        "rows_without_token": plan.rows_without_token,
        "tokens_without_row": plan.tokens_without_row,
        "tokens_filtered_out": sum(plan.counts.values()) - len(plan.tokens),
        "template": {"prefix": list(plan.spec.template.prefix), "suffix": list(plan.spec.template.suffix)},
        "spaces": list(map(str, plan.spaces)),
        "layers": list(plan.spec.layers),
        "device": plan.spec.device,
        "dtype": plan.spec.dtype,
        "store_dtype": plan.spec.store_dtype,
        "mecab_dic": plan.mecab_dic,
        "words": None if plan.words is None else plan.words.about,
        "shards": len(plan.shards),
        "vector_bytes": plan.vector_bytes,
        "index_bytes": plan.index_bytes,
        "store_bytes": size,
        "point_bytes": plan.point_bytes,
        "peak_bytes": peak,
        "workers": workers,
        "worker_bytes": plan.worker_bytes,
    }
    return {"data": data, "pairs": _plan_pairs(plan, outlook, data), "title": titles(plan.spaces)}


def _plan_pairs(plan: "Plan", outlook: "Outlook", data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of a plan, by name."""
    from kotovec.cli.tables import left_out, mecab, megabytes, template, words_left_out, words_origin
    from kotovec.space import titles

    many = "as many as the cluster has room for" if data["workers"] is None else data["workers"]
    each = f"{many}, about {megabytes(plan.worker_bytes)} of memory each" if data["workers"] != 0 else ""
    size, vectors, indexes, peak = (megabytes(data[f"{what}_bytes"]) for what in ("store", "vector", "index", "peak"))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in plan.counts.items() if count)
    if plan.words is None:
        encode = "" if outlook.state == "complete" else " to encode"
        rows = [("tokens", f"{len(plan.tokens):,}{encode}; the vocabulary has {kinds}")]
        filtered = data["tokens_filtered_out"], plan.settings["token-filter"]
        rows += left_out(plan.rows_without_token - len(plan.unnamed), plan.tokens_without_row, *filtered)
        rows += [("kept", f"{counted(len(plan.unnamed), 'row')} without a token, as #id")] if len(plan.unnamed) else []
    else:
        encode = "" if outlook.state == "complete" else " to encode"
        rows = [("words", f"{len(plan.tokens):,}{encode}, of {words_origin(plan.words.about)}")]
        rows += words_left_out(plan.words.about)
    most = max((shard.stop - shard.start for shard in plan.shards), default=0)
    shape = plan.spec.template
    encoding = (
        ("template", template(shape.prefix, shape.suffix, None if plan.words else plan.tokens, plan.noun)),
        ("compute", f"{plan.spec.dtype} on {plan.spec.device}, stored as {plan.spec.store_dtype}"),
        *(_drawn(plan) if plan.drawn else [("shards", f"{len(plan.shards):,} of up to {counted(most, plan.noun)}")]),
    )
    parameters = f"  ({plan.parameters / 1e6:,.1f} M parameters)" if plan.parameters else ""
    pairs = [
        ("model", f"{plan.model.name}{parameters}"),
        ("store", f"{data['store']}  ({outlook})"),
        *rows,
        ("spaces", titles(plan.spaces)),
        *(() if plan.in_part else encoding),
        *((f"{space}", plan.settings[space.name]) for space in plan.tables if plan.matrices is not None),
        ("on disk", f"{size} ({vectors} vectors, {indexes} indexes), {peak} at most"),
    ]
    if not plan.in_part:
        pairs.append(("workers", each or "none: this process encodes, without Ray"))
    if plan.mecab_dic:
        pairs.append(("MeCab", mecab(plan.mecab_dic, assumed=plan.mecab_assumed)))
    return pairs


def _drawn(plan: "Plan") -> list[tuple[str, str]]:
    """Return where the contexts of a plan come from, and how many there are."""
    from kotovec.cli.tables import megabytes
    from kotovec.cluster.corpus import list_files

    assert plan.drawn is not None  # noqa: S101 — for the type checker
    sampling = plan.drawn.sampling
    kept = f"up to {megabytes(plan.point_bytes)} of vectors of contexts on disk, until they are divided"
    points = [("points", kept)] if plan.prototypes else []
    if isinstance(sampling.source, Path):
        return [("contexts", f"those of {sampling.source}"), *points]
    files = list_files(sampling.source)
    size = megabytes(sum(file.size for file in files))
    return [
        ("corpus", f"{counted(len(files), 'file')}, {size}"),
        ("contexts", f"up to {counted(sampling.limit, 'sentence')} for each {plan.noun}"),
        *points,
    ]


def print_plan(plan: "Result", *, as_json: bool) -> None:
    """Print the result of `describe`."""
    from kotovec.cli.tables import print_pairs

    if as_json:
        echo(json_line(plan["data"]))
    else:
        print_pairs(plan["pairs"])
