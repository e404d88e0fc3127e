"""`kotovec build`: from a model to a store."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kotovec.cli.build_options import (
    AddressOption,
    ColumnOption,
    ConfigOption,
    ContextsFromOption,
    ContextsOption,
    CorpusOption,
    CpusOption,
    DryRunOption,
    DtypeOption,
    EncoderDeviceOption,
    FieldOption,
    FractionOption,
    GpusOption,
    KeepTextOption,
    LayersOption,
    MaxCharsOption,
    MecabOption,
    MinCharsOption,
    ModelArgument,
    NoBosOption,
    OverwriteOption,
    PoolingOption,
    PrototypesOption,
    RevisionOption,
    SeedOption,
    SentenceOption,
    ShardTokensOption,
    SpacesOption,
    SplitOption,
    StallOption,
    StoreDtypeOption,
    TargetOption,
    TokenFilterOption,
    WordlistOption,
    WorkersOption,
)
from kotovec.cli.chosen import is_ambient
from kotovec.cli.encodings import echo
from kotovec.cli.lines import say
from kotovec.cli.options import (
    ErrorsOnlyOption,
    JsonOption,
)
from kotovec.cluster import DEFAULT_MODEL, default_store
from kotovec.errors import InputError, KotovecError
from kotovec.text import counted, escaped, json_line, parts

if TYPE_CHECKING:
    from kotovec.cli.child import Result
    from kotovec.cluster.events import Report


def command(
    context: typer.Context,
    model: ModelArgument = DEFAULT_MODEL,
    store: TargetOption = None,
    spaces: SpacesOption = "static,isolated",
    layers: LayersOption = "last",
    workers: WorkersOption = None,
    gpus_per_worker: GpusOption = None,
    cpus_per_worker: CpusOption = 1,
    device: EncoderDeviceOption = "auto",
    dtype: DtypeOption = "float32",
    store_dtype: StoreDtypeOption = "float32",
    token_filter: TokenFilterOption = None,
    mecab_dic: MecabOption = None,
    words: WordlistOption = None,
    words_column: ColumnOption = None,
    pooling: PoolingOption = None,
    template: SentenceOption = None,
    corpus: CorpusOption = None,
    corpus_field: FieldOption = None,
    contexts: ContextsOption = None,
    split: SplitOption = None,
    min_chars: MinCharsOption = None,
    max_chars: MaxCharsOption = None,
    fraction: FractionOption = None,
    seed: SeedOption = None,
    keep_text: KeepTextOption = False,
    contexts_from: ContextsFromOption = None,
    prototypes: PrototypesOption = None,
    no_bos: NoBosOption = False,
    revision: RevisionOption = None,
    address: AddressOption = None,
    shard_tokens: ShardTokensOption = None,
    stall_seconds: StallOption = None,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    quiet: ErrorsOnlyOption = False,
) -> None:
    """Encode the whole vocabulary of a model, or the words of a list, in parallel, into a store.

    The same command resumes an interrupted build.

    Example: `kotovec build tohoku-nlp/bert-base-japanese-v3 --layers all`
    """
    from kotovec.cluster.request import has_states

    options = {
        **_without_idle(context, locals()),
        "bos": not no_bos,
        "on_cluster": address is not None,
    }  # `fields_of` chooses
    target = _target(model, store, words)
    work = partial(_work, options=options, target=target, overwrite=overwrite, dry_run=dry_run)
    with_ray = address is None and workers != 0 and not dry_run and has_states(spaces)
    result = _run(work, target, with_ray=with_ray, lasting=not dry_run, quiet=quiet)
    _print(result, dry_run=dry_run, as_json=as_json, quiet=quiet)


def _without_idle(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those of a corpus, or of hidden states, that the environment gives where none is."""
    from kotovec.cluster.request import OF_CONTEXTS, OF_STATES, has_states

    idle = {*(() if options["corpus"] or options["contexts_from"] else OF_CONTEXTS)}
    idle |= {*(() if has_states(options["spaces"]) else OF_STATES)}
    return {name: value for name, value in options.items() if name not in idle or not is_ambient(context, name)}


def _target(model: str, store: Path | None, words: Path | None) -> Path:
    """Return the folder of the store; a list of words does not take that of the vocabulary unasked."""
    if words is not None and store is None:
        raise InputError("--words needs a store of its own", hint="name it with --store, such as --store words.kotovec")
    return store or default_store(model)


def _run(work: Callable[..., "Result"], target: Path, *, with_ray: bool, lasting: bool, quiet: bool) -> "Result":
    """Run a build in a child process, or in this one if it must not fork, and display its progress."""
    from kotovec.cli.child import Child, can_fork
    from kotovec.cli.events import open_display
    from kotovec.cluster.private import temporary_folder

    missing = [folder for folder in target.resolve().parents if not folder.exists()]
    try:
        # On a terminal, a library may show the progress of a download.
        held = quiet or not (sys.stderr is not None and sys.stderr.isatty())
        forked = Child(held=held and not os.environ.get("KOTOVEC_DEBUG"), quiet=quiet) if can_fork() else nullcontext()
        with forked as child, ExitStack() as stack:
            if child is not None:
                folder = None
                if with_ray:
                    with suppress(InputError):  # raised again if Ray is really started
                        folder = stack.enter_context(temporary_folder())
                stack.callback(child.end)  # before its folder is deleted
                child.start(partial(work, folder=folder))
            with open_display(quiet=quiet, lasting=lasting) as display:
                display.say("planning")
                result = work(display.show) if child is None else child.result(display.show)
                if result.get("finished_before"):
                    display.forget()
                return result
    except (KeyboardInterrupt, SystemExit):
        if _tidy(target, missing):
            open_display(quiet=quiet).note("completed shards are kept: the same command resumes the build")
        raise


def _tidy(target: Path, made: list[Path]) -> bool:
    """Delete the useless files of an interrupted build; return whether it left completed shards."""
    from kotovec.store import folder as folders
    from kotovec.store.layout import HDF5, Layout
    from kotovec.store.lock import locked

    layout = Layout(target.resolve())
    layouts = (layout, Layout(layout.rebuild))
    with suppress(KotovecError, OSError), locked(layout):
        for found in layouts:
            folders.check_ours(found)
            folders.tidy(found)
            with suppress(OSError):
                found.shards.rmdir()  # killed before it wrote its plan
                found.folder.rmdir()
    for folder in made:
        with suppress(OSError):
            folder.rmdir()
    return any(found.plan.is_file() and any(found.shards.glob(f"*{HDF5}")) for found in layouts)


def _work(
    report: "Report",
    *,
    options: dict[str, Any],
    target: Path,
    overwrite: bool,
    dry_run: bool,
    folder: Path | None = None,
) -> "Result":
    """Plan and build; return what the command prints.

    Args:
        report: called with every event.
        options: the options of the command by name; None stands for the default.
        target: the folder of the store.
        overwrite: build again even if the store is complete.
        dry_run: return the plan, and build nothing.
        folder: the temporary folder of a private Ray cluster.
    """
    from kotovec.cli.dry_run import describe
    from kotovec.cluster import run as runs
    from kotovec.cluster.request import Request
    from kotovec.cluster.where import Resources

    where = Resources(**fields_of(Resources, options), folder=folder)
    request = Request(**fields_of(Request, options))
    if dry_run:
        first, *others = (
            describe(plan, outlook, target, where)
            for plan, outlook in runs.dry_run(request, target, where, overwrite=overwrite, report=report)
        )
        later = [("then", other["title"]) for other in others]
        corpus = [pair for other in others for pair in other["pairs"] if pair[0] in ("corpus", "contexts", "points")]
        return first | {
            "data": first["data"] | {"then": [other["data"] for other in others]},
            "pairs": [*first["pairs"], *later, *corpus],
        }
    summary = runs.run(request, target, where, overwrite=overwrite, report=report)
    return {
        "store": str(summary.store),
        "tokens": summary.tokens,
        "unit": summary.unit,
        "encoded": summary.encoded,
        "sentences": summary.sentences,
        "contexts": summary.contexts,
        "seconds": {name: round(value, 3) for name, value in summary.seconds.items()},
        "bytes": summary.bytes,
        "finished_before": summary.finished_before,
    }


def fields_of(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are fields of a dataclass; those that are None keep the default of their field.

    Args:
        kind: `Request` or `Resources`.
        options: options of `kotovec build`, as parsed from the command line.
    """
    given = {field.name: options[field.name] for field in fields(kind) if options.get(field.name) is not None}
    if "corpus" in given:
        given["corpus"] = tuple(given["corpus"])
    if "token_filter" in given:
        given["token_filter"] = tuple(parts(given["token_filter"]))
    return given


def _print(result: "Result", *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    if dry_run:
        from kotovec.cli.dry_run import print_plan

        print_plan(result, as_json=as_json)
    else:
        _print_summary(result, as_json=as_json, quiet=quiet)


def _print_summary(summary: "Result", *, as_json: bool, quiet: bool) -> None:
    from kotovec.cli.next import commands
    from kotovec.cli.tables import megabytes, print_commands, print_pairs

    if as_json:
        echo(json_line(summary))
        return
    if quiet:
        return
    if summary["finished_before"]:
        say(f"{escaped(summary['store'])} is complete: nothing to do (--overwrite builds it again)")
        return
    store, sentences = summary["store"], summary["sentences"]
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    unit = summary["unit"]
    earlier = 0 if "encode" not in summary["seconds"] else summary["tokens"] - summary["encoded"]
    rest = f", {earlier:,} of them by an earlier run" if earlier else ""
    print_pairs(
        [
            (f"{unit}s", f"{summary['tokens']:,}{rest}"),
            *([("contexts", f"{counted(sentences, 'sentence')} encoded")] if sentences else []),
            ("seconds", seconds),
            ("store", f"{store}  ({megabytes(summary['bytes'])})"),
        ]
    )
    print_commands("next   ", commands(store))
