"""`kotovec build`: from a model to a store."""

import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kotovec.cli.options import ConfigOption, JsonOption, QuietOption
from kotovec.cluster import DEFAULT_MODEL, default_name
from kotovec.errors import InputError, KotovecError, quoted

if TYPE_CHECKING:
    from kotovec.cli.child import Result
    from kotovec.cluster.events import Report
    from kotovec.cluster.plan import Plan
    from kotovec.cluster.where import Resources


def command(
    model: Annotated[
        str,
        typer.Argument(envvar="KOTOVEC_MODEL", help="Hub id or folder of the model, or `demo` (a small English one)."),
    ] = DEFAULT_MODEL,
    store: Annotated[
        Path | None,
        typer.Option(
            envvar="KOTOVEC_STORE",
            help="Folder of the store [./LAST-PART-OF-MODEL.kotovec].",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(envvar="KOTOVEC_LAYERS", help="Layers of `isolated`: `last`, `all`, or a list such as `0,1,12`."),
    ] = "last",
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="KOTOVEC_WORKERS",
            help="Number of Ray actors [one per core, as memory allows].",
            show_default=False,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            envvar="KOTOVEC_GPUS_PER_WORKER",
            help="GPUs, or share of a GPU, per worker [1].",
            show_default=False,
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int, typer.Option(envvar="KOTOVEC_CPUS_PER_WORKER", help="Cores, and so threads, per worker.")
    ] = 1,
    device: Annotated[
        str, typer.Option(envvar="KOTOVEC_DEVICE", help="Device that encodes: `auto`, `cpu` or `cuda`.")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(envvar="KOTOVEC_DTYPE", help="Dtype of the computation: `float32`, `bfloat16` or `float16`.")
    ] = "float32",
    store_dtype: Annotated[
        str,
        typer.Option(
            envvar="KOTOVEC_STORE_DTYPE", help="Dtype of the stored isolated vectors: `float32` or `float16`."
        ),
    ] = "float32",
    token_filter: Annotated[
        str | None,
        typer.Option(
            envvar="KOTOVEC_TOKEN_FILTER",
            help="Kinds of tokens to keep, of `word,subword,special,unused,byte,empty` [all].",
            show_default=False,
        ),
    ] = None,
    mecab_dic: Annotated[
        str | None,
        typer.Option(
            envvar="KOTOVEC_MECAB_DIC",
            help="MeCab dictionary: `ipadic`, `unidic_lite` or `unidic` [the model's].",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(envvar="KOTOVEC_REVISION", help="Branch, tag or commit on the Hub.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            envvar=["KOTOVEC_ADDRESS", "RAY_ADDRESS"],
            help="Ray cluster to join [a private local one].",
            show_default=False,
        ),
    ] = None,
    shard_tokens: Annotated[
        int | None,
        typer.Option(envvar="KOTOVEC_SHARD_TOKENS", help="Tokens per shard, at most [1024].", show_default=False),
    ] = None,
    stall_seconds: Annotated[
        float | None,
        typer.Option(
            envvar="KOTOVEC_STALL_SECONDS",
            help="Seconds without a result after which a worker is replaced [900].",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", envvar="KOTOVEC_OVERWRITE", help="Build again beside the finished store, then swap."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="KOTOVEC_DRY_RUN", help="Print the plan and stop.")
    ] = False,
    config: ConfigOption = None,  # noqa: ARG001 — its callback has read it
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Encode the whole vocabulary of a model, in parallel, into a store.

    The same command resumes an interrupted build.

    Example: `kotovec build tohoku-nlp/bert-base-japanese-v3 --layers all`
    """
    if store is None and "/" in model.rstrip("/") and not model.strip("/."):
        raise InputError(f"{quoted(model)} gives a store no name", hint="name one with --store")
    target = store or Path(f"{default_name(model)}.kotovec")
    asked = {
        "model": model,
        "revision": revision,
        "layers": layers,
        "dtype": dtype,
        "store_dtype": store_dtype,
        "device": device,
        "on_cluster": address is not None,
        "token_filter": None if token_filter is None else kinds_of(token_filter),
        "mecab_dic": mecab_dic,
        "cpus_per_worker": cpus_per_worker,
        "shard_tokens": shard_tokens,
    }
    where = {
        "workers": workers,
        "gpus_per_worker": gpus_per_worker,
        "address": address,
        "stall_seconds": stall_seconds,
    }
    work = partial(_work, asked=asked, where=where, target=target, overwrite=overwrite, dry_run=dry_run)
    result = _run(work, target, with_ray=address is None and workers != 0 and not dry_run, quiet=quiet)
    if dry_run:
        _print_plan(result, as_json=as_json)
    else:
        _print_summary(result, as_json=as_json, quiet=quiet)


def _run(work: Callable[..., "Result"], target: Path, *, with_ray: bool, quiet: bool) -> "Result":
    """Run a build in a child process, or in this one if it must not fork, and display its progress."""
    from kotovec.cli.child import Child, can_fork
    from kotovec.cli.events import open_display
    from kotovec.cluster.private import temporary_folder

    missing = [folder for folder in target.resolve().parents if not folder.exists()]
    try:
        with Child() if can_fork() else nullcontext() as child, ExitStack() as stack:
            if child is not None:
                folder = None
                if with_ray:
                    with suppress(InputError):  # raised again if Ray is really started
                        folder = stack.enter_context(temporary_folder())
                stack.callback(child.end)  # before its folder is deleted
                child.start(partial(work, folder=folder))
            with open_display(quiet=quiet) as display:
                display.say("planning")
                return work(display.show) if child is None else child.result(display.show)
    except KeyboardInterrupt:
        if _tidy(target, missing):
            open_display(quiet=quiet).note("what is whole is kept: the same command goes on from there")
        raise


def _tidy(target: Path, made: list[Path]) -> bool:
    """Delete the useless files of an interrupted build; return whether there is a build to resume."""
    from kotovec.store.layout import Layout
    from kotovec.store.lock import locked

    layout = Layout(target.resolve())
    places = (layout, Layout(layout.rebuild))
    with suppress(KotovecError, OSError), locked(layout):
        for place in places:
            place.check_usable()
            place.tidy()
            with suppress(OSError):
                place.shards.rmdir()  # killed before it wrote its plan
                place.folder.rmdir()
    for folder in made:
        with suppress(OSError):
            folder.rmdir()
    return any(place.plan.is_file() for place in places)


def _work(
    report: "Report",
    *,
    asked: dict[str, Any],
    where: dict[str, Any],
    target: Path,
    overwrite: bool,
    dry_run: bool,
    folder: Path | None = None,
) -> "Result":
    """Plan and build; return what the command prints.

    Args:
        report: called with every event.
        asked: fields of the `Request`; None stands for the default.
        where: fields of the `Resources`; None stands for the default.
        target: the folder of the store.
        overwrite: build again even if the store is complete.
        dry_run: return the plan, and build nothing.
        folder: the temporary folder of a private Ray cluster.
    """
    from kotovec.cluster.ahead import planned
    from kotovec.cluster.build import build
    from kotovec.cluster.events import Notice, Phase
    from kotovec.cluster.plan import Request
    from kotovec.cluster.session import join
    from kotovec.cluster.where import Resources
    from kotovec.store.layout import Layout

    resources = Resources(**_given(where), folder=folder)
    address = resources.address
    with ExitStack() as stack:
        if address is not None:  # first, as the workers' device is part of the plan
            report(Phase("joining the cluster"))
            stack.enter_context(join(address))
        report(Phase("planning"))
        request = Request(**_given(asked))
        layout = Layout(target.resolve())
        layout.check_usable()
        with_ray = address is None and resources.workers != 0 and not dry_run and (overwrite or not layout.is_store)
        ahead = stack.enter_context(planned(request, resources.workers, with_ray=with_ray, folder=folder))
        plan = ahead.plan
        for text in plan.notices:
            report(Notice(text))
        if address is not None and request.device == "auto" and plan.spec.device == "cpu":
            report(Notice("the cluster has no GPU: CPUs encode (--device cuda waits until it has one)"))
        if dry_run:
            return _describe(plan, target, resources)
        summary = build(plan, target, resources, overwrite=overwrite, report=report, ray=ahead.ray)
    before = ahead.seconds
    seconds = before | {phase: seconds + before.get(phase, 0.0) for phase, seconds in summary.seconds.items()}
    return {
        "store": str(summary.store),
        "tokens": summary.tokens,
        "encoded": summary.encoded,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "bytes": summary.bytes,
        "finished_before": summary.finished_before,
    }


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def kinds_of(token_filter: str) -> tuple[str, ...]:
    """Return the kinds of tokens in a comma-separated list."""
    return tuple(kind.strip() for kind in token_filter.split(","))


def _describe(plan: "Plan", target: Path, where: "Resources") -> "Result":
    """Return a plan as `data` for a program and as `pairs` for a person."""
    from kotovec.cli.tables import left_out, mecab, megabytes
    from kotovec.cluster.where import count_workers

    filtered = sum(plan.counts.values()) - len(plan.tokens)
    wanted = count_workers(plan, where)
    workers = None if wanted is None else min(wanted, len(plan.shards))
    many = "as many as the cluster has room for" if workers is None else workers
    peak = plan.peak_bytes(len(plan.tokens))
    data = {
        "model": plan.source.name,
        "store": str(target),
        "tokens": len(plan.tokens),
        "kinds": plan.counts,
        "rows_without_token": plan.rows_without_token,
        "tokens_without_row": plan.tokens_without_row,
        "tokens_filtered_out": filtered,
        "template": {"prefix": list(plan.spec.template.prefix), "suffix": list(plan.spec.template.suffix)},
        "layers": list(plan.spec.layers),
        "device": plan.spec.device,
        "dtype": plan.spec.dtype,
        "store_dtype": plan.spec.store_dtype,
        "mecab_dic": plan.mecab_dic,
        "shards": len(plan.shards),
        "vector_bytes": plan.vector_bytes,
        "index_bytes": plan.index_bytes,
        "peak_bytes": peak,
        "workers": workers,
        "worker_bytes": plan.worker_bytes,
    }
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in plan.counts.items() if count)
    pairs = [
        ("model", f"{plan.source.name}  ({plan.parameters / 1e6:,.1f} M parameters)"),
        ("store", str(target)),
        ("tokens", f"{len(plan.tokens):,} to encode; the vocabulary has {kinds}"),
        (
            "left out",
            left_out(plan.rows_without_token, plan.tokens_without_row, filtered, plan.settings["token-filter"]),
        ),
        ("template", " ".join(map(str, [*plan.spec.template.prefix, "token", *plan.spec.template.suffix]))),
        ("layers", ", ".join(map(str, plan.spec.layers))),
        ("compute", f"{plan.spec.dtype} on {plan.spec.device}, stored as {plan.spec.store_dtype}"),
        ("shards", f"{len(plan.shards):,} of up to {max(s.stop - s.start for s in plan.shards):,} tokens"),
        (
            "on disk",
            f"{megabytes(plan.vector_bytes)} vectors, {megabytes(plan.index_bytes)} indexes, {megabytes(peak)} at most",
        ),
        ("workers", f"{many}, about {megabytes(plan.worker_bytes)} of memory each"),
    ]
    if plan.mecab_dic:
        pairs.append(("MeCab", mecab(plan.mecab_dic, assumed=plan.mecab_assumed)))
    return {"data": data, "pairs": pairs}


def _print_plan(plan: "Result", *, as_json: bool) -> None:
    from kotovec.cli.tables import print_pairs

    if as_json:
        typer.echo(json.dumps(plan["data"], ensure_ascii=False))
    else:
        print_pairs(plan["pairs"])


def _print_summary(summary: "Result", *, as_json: bool, quiet: bool) -> None:
    from kotovec.cli.tables import megabytes, print_pairs

    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    if quiet:
        return
    if summary["finished_before"]:
        typer.echo(f"{summary['store']} is finished: nothing to do (--overwrite builds it anew)")
        return
    store = summary["store"]
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    rate = summary["encoded"] / summary["seconds"]["encode"] if summary["seconds"].get("encode") else 0
    speed = f"  ({rate:,.0f} tokens/s)" if rate else ""
    earlier = summary["tokens"] - summary["encoded"]
    rest = f", {earlier:,} of them by an earlier run" if earlier else ""
    print_pairs(
        [
            ("tokens", f"{summary['tokens']:,}{rest}{speed}"),
            ("seconds", seconds),
            ("store", f"{store}  ({megabytes(summary['bytes'])})"),
            ("next", f'kotovec query --store {store} "…"'),
        ]
    )
