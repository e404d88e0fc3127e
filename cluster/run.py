"""A whole build, as the command line and `kotovec.build` run it, and the same without building: a dry run."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.cluster.events import Detail, Event, Notice, Phase, Report, ignore
from kotovec.cluster.finished import find_finished
from kotovec.cluster.plan import Plan
from kotovec.cluster.request import Request
from kotovec.cluster.where import Resources, count_workers
from kotovec.errors import InputError
from kotovec.space import NAMES, PROTOTYPES, Space
from kotovec.store import folder as folders
from kotovec.store.layout import HDF5, Layout
from kotovec.store.lock import check_free
from kotovec.text import counted

if TYPE_CHECKING:
    from kotovec.cluster.ahead import Planned
    from kotovec.cluster.build import Summary
    from kotovec.cluster.remaining import Outlook


def run(
    request: Request, store: Path, where: Resources, *, overwrite: bool = False, report: Report = ignore
) -> "Summary":
    """Build a store, or resume or extend one; one that is complete is reported before torch and Ray are imported.

    Args:
        request: what is built; each kind of hidden states is a build of its own, one after the other.
        store: path of the store's folder.
        where: workers and cluster.
        overwrite: build again beside a complete store, and swap the two when the new one is complete.
        report: called with each event.

    Raises:
        KotovecError: as `make_plan` and `build`; what cannot be written, or is being built, is refused before anything
            is planned.
    """
    request.check()
    report = _once(report)
    first, *others = request.stages
    if overwrite and (lost := _lost(request, Layout(store.resolve()))):
        report(Notice(f"--overwrite replaces the whole store: {', '.join(lost)} will not be in the new one"))
    with contextlib.ExitStack() as ray:  # a private one, for all stages
        summary = _run(first, store, where, ray, others, overwrite=overwrite, report=report)
        for later in range(len(others)):
            summary = summary.then(_run(others[later], store, where, ray, others[later + 1 :], report=report))
    return summary


def _run(
    request: Request,
    store: Path,
    where: Resources,
    ray: contextlib.ExitStack,
    later: Sequence[Request],
    *,
    overwrite: bool = False,
    report: Report = ignore,
) -> "Summary":
    """Build one stage; what the later ones read is looked for before anything is encoded.

    A private Ray that is started for this stage or an earlier one is held by `ray`; the last stage closes it as soon as
    nothing is left to encode.
    """
    from kotovec.cluster.build import build

    layout = Layout(store.resolve())
    folders.check_ours(layout, overwrite=overwrite)
    if not overwrite and (finished := find_finished(request, store, report)) is not None:
        return finished
    folders.check_usable(layout, overwrite=overwrite)
    check_free(layout)
    if overwrite or not layout.contexts.is_file():
        for sampling in filter(None, (stage.sampling for stage in later)):
            sampling.check()
    private = where.address is None and where.workers != 0 and request.has_states
    private = private and (overwrite or not layout.is_store)
    sums = any(stage.sampling for stage in (request, *later))
    with _planned(request, where, report, private=private, sums=sums) as ahead:
        ray.push(ahead.ray.pop_all())
        done = contextlib.ExitStack() if later else ray
        summary = build(ahead.plan, store, where, overwrite=overwrite, report=report, ray=done)
    before = ahead.seconds
    summary.seconds = before | {name: value + before.get(name, 0.0) for name, value in summary.seconds.items()}
    return summary


def _once(report: Report) -> Report:
    """Return a report that leaves out a notice which an earlier stage gave already."""
    given: set[str] = set()

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            if event.text in given:
                return
            given.add(event.text)
        report(event)

    return tell


def _lost(request: Request, layout: Layout) -> list[str]:
    """Return the kinds of spaces, and the derived spaces, that a store has and that a new one would not have."""
    if not layout.is_store:
        return []
    made = {name for stage in request.stages for name in stage.spaces.split(",")}
    made |= {PROTOTYPES} if request.prototypes is not None else set()
    spaces = []
    for path in layout.spaces.glob(f"*{HDF5}"):
        with contextlib.suppress(InputError):  # somebody's file, which is refused later
            spaces.append(Space.of_stem(path.stem))
    stored = {space.name for space in spaces}
    return [
        *(name for name in NAMES if name in stored - made),
        *(str(space) for space in sorted(spaces) if space.steps),
    ]


def dry_run(
    request: Request, store: Path, where: Resources, *, overwrite: bool = False, report: Report = ignore
) -> "list[tuple[Plan, Outlook]]":
    """Return the plan of each stage of a build, and what it would do with what the store holds already.

    Raises:
        KotovecError: as `run`, before anything would be encoded.
    """
    from kotovec.cluster.remaining import outlook

    request.check()
    folders.check_usable(Layout(store.resolve()), overwrite=overwrite)
    found = []
    for stage in request.stages:
        with _planned(stage, where, report, private=False) as ahead:
            found.append((ahead.plan, outlook(ahead.plan, store, overwrite=overwrite)))
    return found


@contextlib.contextmanager
def _planned(
    request: Request, where: Resources, report: Report, *, private: bool, sums: bool = False
) -> "Iterator[Planned]":
    """Yield the plan of a build, and report it; hold the cluster, or where needed a private Ray, for the block."""
    from kotovec.cluster.ahead import planned
    from kotovec.cluster.session import join

    def show(plan: Plan) -> None:
        for text in plan.notices:
            report(Notice(text))
        report(Detail(_size(plan, where)))
        if private:  # Ray has been starting for a while
            report(Phase("start"))

    with contextlib.ExitStack() as stack:
        if where.address is not None and request.has_states:  # first, as the workers' device is part of the plan
            report(Phase("joining the cluster"))
            stack.enter_context(join(where.address))
        report(Phase("planning"))
        ahead = stack.enter_context(
            planned(
                request,
                where.workers,
                with_ray=private,
                sums=sums,
                folder=where.folder,
                on_plan=show,
            )
        )
        if where.address is not None and request.device == "auto" and ahead.plan.spec.device == "cpu":
            report(Notice("the cluster has no GPU: CPUs encode (--device cuda waits until it has one)"))
        yield ahead


def _size(plan: Plan, where: Resources) -> str:
    """Return how large a build is: its tokens, and its workers with their memory."""
    tokens = counted(len(plan.tokens), plan.noun)
    if where.workers == 0 or plan.in_part:
        return tokens
    wanted = count_workers(plan, where)
    count = "workers" if wanted is None else f"{min(wanted, len(plan.shards))} workers"
    return f"{tokens}, {count.removesuffix('s') if count == '1 workers' else count} × {plan.worker_bytes / 1e6:,.0f} MB"
