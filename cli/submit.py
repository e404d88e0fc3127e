"""`kotovec submit`: a build on an existing cluster, shown on this machine, to which its store is fetched."""

import contextlib
import inspect
import json
import os
import re
import secrets
import shlex
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import typer

from kotovec.cli import build
from kotovec.cli.arguments import NO_LIST
from kotovec.cli.build_options import (
    AttachOption,
    DashboardOption,
    FetchOption,
    JobOption,
    ListOption,
    NoFetchOption,
    RemoteStoreOption,
    StopOption,
)
from kotovec.cli.encodings import echo
from kotovec.cli.options import (
    ErrorsOnlyOption,
    JsonOption,
)
from kotovec.errors import RESUME, InputError, KotovecError, WorkerError
from kotovec.text import json_line

if TYPE_CHECKING:
    from kotovec.cli.progress import Display
    from kotovec.cluster.fetch import Fetched
    from kotovec.cluster.submit import Jobs


def command(
    context: typer.Context,
    store: RemoteStoreOption = None,
    address: DashboardOption = None,
    fetch: FetchOption = None,
    no_fetch: NoFetchOption = False,
    job: JobOption = None,
    attach: AttachOption = None,
    stop: StopOption = None,
    list_jobs: ListOption = False,
    as_json: JsonOption = False,
    quiet: ErrorsOnlyOption = False,
    **options: Any,
) -> None:
    """Build on an existing Ray cluster through its Jobs API, and fetch the store.

    All options of `kotovec build` but those of a list of words are passed to the cluster. Ctrl-C or a lost terminal
    does not stop the job; the same command resumes an interrupted build.

    Example: `kotovec submit demo --address http://head:8265 --store /data/demo.kotovec --workers 8`
    """
    from kotovec.cli.progress import Display
    from kotovec.cluster.submit import connect

    given = [name for name, value in (("--stop", stop), ("--attach", attach), ("--list", list_jobs)) if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given", hint="give one of them")
    if no_fetch and fetch is not None:
        raise InputError("--fetch names a folder, and --no-fetch fetches nothing", hint="give one of them")
    if stop is not None:
        _stop(connect(address), stop, quiet=quiet)
        return
    if list_jobs:
        _list(connect(address), as_json=as_json)
        return
    if attach is None:
        if os.environ.get("KOTOVEC_WORDS"):
            raise InputError(NO_LIST, hint="use `kotovec build`, or unset KOTOVEC_WORDS")
        store = _check_places(options["model"], store)
        _check_values(options)
    jobs = connect(address)
    store = store if attach is None else jobs.store_of(attach)
    name = attach or job or f"kotovec-{secrets.token_hex(4)}"
    local = _local_target(str(store), fetch, no_fetch=no_fetch)
    destination = ["--no-fetch"] if no_fetch else [] if fetch is None else ["--fetch", str(fetch)]
    again = shlex.join(["kotovec", "submit", "--attach", name, "--address", jobs.address, *destination])
    words = _build_words(context) if attach is None else None
    with Display(quiet=quiet, lasting=True) as display:
        summary = _follow(jobs, name, str(store), words, again, display, quiet=quiet)
    fetched = None
    if local is not None:
        try:
            fetched = _fetch(jobs, str(store), local, quiet=quiet)
        except (KeyboardInterrupt, SystemExit):
            display.note(f"what has arrived is kept: {again} resumes")
            raise
    _print(summary, name, fetched, as_json=as_json, quiet=quiet)


_OWN = inspect.signature(command).parameters
_OF_THIS_MACHINE = ("words", "words_column", "pooling")  # a job does not see the file of words
_PASSED = {
    name: parameter
    for name, parameter in inspect.signature(build.command).parameters.items()
    if name not in {*_OWN, "dry_run", *_OF_THIS_MACHINE}
}
# Typer reads the signature: build's options are not repeated here, and are checked before anything is sent.
_FIRST = {"context": _OWN["context"], "model": _PASSED["model"]}
_REST = {name: parameter for name, parameter in _OWN.items() if name != "options"}
command.__signature__ = inspect.Signature([*(_FIRST | _REST | _PASSED).values()])  # type: ignore[attr-defined]


LONGEST_NAME = 200  # bytes of a part of a path: most file systems take 255, and a build adds some
_NO_DISK = ("dev", "proc", "sys")
_ON_CLUSTER = "name a folder on the cluster by its absolute path, such as /data/NAME.kotovec"
# The lines that Ray itself writes into every job's log.
_RAYS_OWN = re.compile(r"^Running entrypoint for job |Runtime env is setting up\.$")


def _build_words(context: typer.Context) -> list[str]:
    """Return the command line of the build: the model, and every option that differs from its default."""
    words = [str(context.params["model"])]
    for option in context.command.params:
        value = context.params.get(str(option.name))
        if option.name in _PASSED and option.name not in ("model", "config") and value != option.default:
            flag = max(option.opts, key=len)
            values = value if isinstance(value, list | tuple) else [value]
            words += [flag if each is True else f"{flag}={each}" for each in values]
    return words


def _check_values(options: dict[str, Any]) -> None:
    """Validate every option of build that can be checked on this machine without loading the model.

    Raises:
        InputError: a value is unknown or out of range.
    """
    from kotovec.cluster.request import Request, parse_layers
    from kotovec.cluster.where import Resources

    if Resources(**build.fields_of(Resources, options)).workers == 0:  # it validates everything else itself
        raise InputError("--workers is 0, but a job on a cluster has workers there", hint="use 1 or more")
    request = Request(**build.fields_of(Request, options))
    for path in map(str, (*request.corpus, *filter(None, [request.contexts_from]))):
        if "://" not in path and not PurePosixPath(path).is_absolute():
            raise InputError(
                f"{path} is relative, and a job does not see files of this machine",
                hint="give the absolute path that it has on the cluster, or a URL",
            )
    request.check()
    if (depth := _depth(request.model, request.revision)) is not None:
        parse_layers(request.layers, depth)


def _depth(model: str, revision: str | None) -> int | None:
    """Return the number of layers of a model whose config this machine happens to have, or None."""
    from huggingface_hub import try_to_load_from_cache

    from kotovec.cluster.request import MOST_LAYERS
    from kotovec.workers import source as sources
    from kotovec.workers.address import DEMO
    from kotovec.workers.json_files import read_json

    found: Any = None
    with contextlib.suppress(KotovecError, ValueError, OSError):
        if model == DEMO:
            found = sources.resolve(model).folder / "config.json"
        elif not model.startswith("/"):  # a path is one of the cluster
            found = try_to_load_from_cache(model, "config.json", revision=revision)
        if isinstance(found, str | Path):
            depth = read_json(Path(found)).get("num_hidden_layers")
            return depth if isinstance(depth, int) and 0 <= depth <= MOST_LAYERS else None
    return None


def _check_places(model: str, store: str | None) -> str:
    """Return the path of the store on the cluster.

    Raises:
        InputError: the path is missing or would not outlast the job, or the model is a folder of this machine.
    """
    from kotovec.cluster.request import check_no_store

    if store is None:
        raise InputError("no folder is named for the store", hint="name one on the cluster with --store /PATH")
    if "://" in store:
        raise InputError(f"--store {store} is a URL", hint=_ON_CLUSTER)
    path = PurePosixPath(store)
    if not path.is_absolute():
        raise InputError(
            f"--store {store} is relative, and a job's working directory is deleted with it",
            hint=_ON_CLUSTER,
        )
    too_long = max(len(part.encode()) for part in path.parts) > LONGEST_NAME
    if not path.name or ".." in path.parts or too_long or not store.isprintable() or path.parts[1] in _NO_DISK:
        raise InputError(f"--store {store} cannot be a store", hint=_ON_CLUSTER)
    check_no_store(model)
    here = Path(model)
    if not here.is_absolute() and model != "demo" and (here.is_dir() or model.startswith((".", "~"))):
        raise InputError(
            f"{model} is a folder of this machine, which the cluster does not see",
            hint="give an id on the Hub, or the absolute path that it has on the cluster",
        )
    return str(path)


def _local_target(store: str, fetch: Path | None, *, no_fetch: bool) -> Path | None:
    """Return the folder to which the store is fetched, or None with `--no-fetch`."""
    from kotovec.cluster.fetch import check_target

    if no_fetch:
        return None
    target = Path(PurePosixPath(store).name) if fetch is None else fetch
    check_target(target)
    return target


def _follow(
    jobs: "Jobs", job: str, store: str, words: list[str] | None, again: str, display: "Display", *, quiet: bool
) -> dict[str, Any]:
    """Send a build if there is one to send, show it until it has ended, and return its summary.

    Args:
        jobs: the jobs of the cluster.
        job: the name of the job.
        store: path of the store on the cluster.
        words: the command line of the build; None if the job was sent before.
        again: the command that shows the job again.
        display: what shows its events; closed when Ctrl-C ends the watching.
        quiet: show results and errors only.
    """
    sent = words is None
    try:
        display.say("waiting for the cluster")
        if words is not None:
            jobs.build(words, job, store)
            sent = True
            display.note(f"job {job}; Ctrl-C leaves it running, {again} returns to it")
        return _watch(jobs, job, display, quiet=quiet)
    except (KeyboardInterrupt, SystemExit):
        display.close()
        stopping = shlex.join(["kotovec", "submit", "--stop", job, "--address", jobs.address])
        state = f"job {job} keeps running on the cluster:" if sent else f"if job {job} began all the same,"
        display.note(f"{state} {again} returns to it, {stopping} stops it")
        raise


def _watch(jobs: "Jobs", job: str, display: "Display", *, quiet: bool) -> dict[str, Any]:
    """Show a job until it has ended; return the summary that its build printed.

    Raises:
        InputError: the build exited with 2, bad input.
        WorkerError: the build failed otherwise, or was stopped.
    """
    from kotovec.cli.events import read_event
    from kotovec.cli.tables import notice

    summary: dict[str, Any] = {}
    problem, hint = "", None
    for line in jobs.lines(job):
        if event := read_event(line):
            display.show(event)
        elif line.startswith("error: "):
            problem, hint = line.removeprefix("error: "), None
        elif problem and line.startswith("hint: "):
            hint = line.removeprefix("hint: ")
        elif line.startswith('{"store": '):
            with contextlib.suppress(ValueError, RecursionError):  # another process wrote into the line
                summary = json.loads(line)
        elif line.strip() and not _RAYS_OWN.search(line):
            notice(line, quiet=quiet)
    end = jobs.end(job)
    if end is not None and end.status == "STOPPED":
        raise WorkerError(f"job {job} was stopped", hint=RESUME)
    if end is None or end.status != "SUCCEEDED":
        why = [] if end is None else end.message.strip().splitlines()
        reason = (
            problem or f"job {job} failed: {why[0].split(', last available')[0] if why else 'Ray does not say why'}"
        )
        ours = end is not None and end.code == InputError.exit_code
        raise InputError(reason, hint=hint) if ours else WorkerError(reason, hint=hint)
    return summary


def _stop(jobs: "Jobs", job: str, *, quiet: bool) -> None:
    from kotovec.cli.tables import notice

    running = jobs.stop(job)
    end = jobs.end(job)
    while running and end is None:
        time.sleep(0.5)
        end = jobs.end(job)
    how = "is stopped" if running else f"had ended before ({end.status if end else 'unknown'})"
    notice(f"job {job} {how}: completed shards are kept on the cluster", quiet=quiet)


def _list(jobs: "Jobs", *, as_json: bool) -> None:
    from kotovec.cli.tables import print_grid

    found = jobs.submitted()
    if as_json:
        for each in found:
            started = each.started.isoformat(timespec="seconds") if each.started else None
            echo(json_line({"job": each.job, "status": each.status, "started": started, "store": each.store}))
        return
    rows = [
        (
            each.job,
            each.store,
            each.status.lower(),
            f"{each.started.astimezone():%Y-%m-%d %H:%M}" if each.started else "",
        )
        for each in found
    ]
    print_grid(["job", "on the cluster", "status", "started"], rows, left=2)


def _fetch(jobs: "Jobs", store: str, local: Path, *, quiet: bool) -> "Fetched":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from kotovec.cli.tables import console
    from kotovec.cluster.fetch import fetch

    screen = console(stderr=True)
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)  # until its size is known
        return fetch(
            jobs, store, local, lambda done, total: bar.update(task, completed=done, total=total, visible=True)
        )


def _print(summary: dict[str, Any], job: str, fetched: "Fetched | None", *, as_json: bool, quiet: bool) -> None:
    from kotovec.cli.next import commands
    from kotovec.cli.tables import megabytes, print_commands, print_pairs

    seconds = dict(summary.get("seconds", {}))
    if fetched is not None:
        seconds["fetch"] = round(fetched.seconds, 3)
    if as_json:
        data = summary | {
            "job": job,
            "seconds": seconds,
            "fetched": None if fetched is None else str(fetched.store),
            "fetched_bytes": 0 if fetched is None else fetched.received,
        }
        echo(json_line(data))
    elif not quiet:
        pairs = [("seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))] if seconds else []
        if "tokens" in summary:  # absent if the log has lost what the build printed
            where = ("on the cluster", f"{summary['store']}  ({megabytes(summary['bytes'])})")
            pairs = [("tokens", f"{summary['tokens']:,}"), *pairs, where]
        if fetched is not None:
            pairs.append(("here", f"{fetched.store}  ({megabytes(fetched.received)} fetched)"))
        print_pairs(pairs)
        if fetched is not None:
            print_commands("next          ", commands(fetched.store))
