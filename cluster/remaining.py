"""What remains to be done of a plan: the spaces and indexes that a store lacks.

A build does it, and a dry run prints it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.cluster.job import open_job
from kotovec.cluster.plan import Plan
from kotovec.cluster.provenance import check_begun, check_finished
from kotovec.space import Space, titles
from kotovec.store import folder as folders
from kotovec.store import index as indexes
from kotovec.store.layout import Layout
from kotovec.store.lock import locked
from kotovec.store.metric import Metric
from kotovec.store.vectors import Vectors
from kotovec.text import counted

INDEXED = ("static", "isolated", "template", "context")  # what gets an index with the build, in the last layer


@dataclass(frozen=True)
class Outlook:
    """What a build would do at the path of its store.

    Attributes:
        state: `new` (there is no store), `interrupted` (shards of an earlier run are kept), `incomplete` (the store
            lacks spaces or indexes), `complete`, or `again` (a store is built beside the complete one).
        spaces: the spaces that it would make.
        indexes: how many default indexes it would build for the spaces that the store has.
        shards, encoded: how many shards there are for these spaces, and how many of them an earlier run encoded.
    """

    state: str
    spaces: tuple[Space, ...] = ()
    indexes: int = 0
    shards: int = 0
    encoded: int = 0

    def __str__(self) -> str:
        resumed = f"resumes with {self.encoded:,} of {counted(self.shards, 'shard')}" if self.encoded else ""
        match self.state:
            case "complete":
                return "complete: nothing to do, --overwrite builds it again"
            case "incomplete" if self.spaces:
                return f"lacks {counted(len(self.spaces), 'space')}: {titles(self.spaces)}"
            case "incomplete":
                return f"lacks {counted(self.indexes, 'index', 'indexes')}"
            case "interrupted":
                return f"interrupted: {resumed or 'resumes'}"
            case "again":
                return ", ".join(filter(None, ("built again beside the complete one", resumed)))
        return "new"


def missing_spaces(plan: Plan, layout: Layout) -> tuple[Space, ...]:
    """Return the spaces to make: the missing ones, or those that an interrupted run began with."""
    if layout.former.is_file() and layout.is_store:
        return ()
    if not layout.tokens.is_file():  # without it, the files of spaces are meaningless
        return plan.spaces
    begun = folders.read_plan(layout) or {}
    todo = [space for space in plan.spaces if not layout.space(space).is_file()]
    if todo and unsampled(begun, plan).get("settings") == plan.settings:  # some of them may be merged already
        todo = [space for space in plan.spaces if str(space) in begun.get("spaces", ())]
    return tuple(todo)


def unsampled(begun: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the task of an unfinished build, without its sample where the plan does not know its own yet."""
    settings = begun.get("settings")
    if not isinstance(settings, dict) or "sample" in plan.settings:
        return begun
    return begun | {"settings": {name: value for name, value in settings.items() if name != "sample"}}


def missing_indexes(plan: Plan, layout: Layout) -> list[Space]:
    """Return the spaces of a store that lack their default index.

    Tables alone are searched as they are: an index would be as large as they once more.
    """
    if plan.in_part:
        return []
    with contextlib.closing(Vectors(layout.folder)) as vectors:
        return lacking_index(vectors, layout)


def lacking_index(vectors: Vectors, layout: Layout) -> list[Space]:
    """Return the spaces of an open store that lack their default index."""
    wanted = [Space(name) for name in INDEXED if any(space.name == name for space in vectors.spaces)]
    return [space for space in wanted if indexes.load(vectors, layout.indexes, space, Metric.L2) is None]


def of_store(plan: Plan, layout: Layout) -> Plan:
    """Return the plan for a complete store; one with other settings, or of another model, is refused.

    Raises:
        SettingsDifferError: names every setting that differs.
        InputError: as `Plan.of_weights`.
    """
    with contextlib.closing(Vectors(layout.folder)) as vectors:
        plan = plan.of_weights(vectors.settings().get("weights"))
        check_finished(layout.folder, vectors, plan)
    return plan


def outlook(plan: Plan, store: Path, *, overwrite: bool) -> Outlook:
    """Return what a build would do at a path; changes nothing.

    Raises:
        SettingsDifferError, StoreBusyError, StoreError: as `build`.
    """
    layout = Layout(store.resolve())
    folders.check_usable(layout, overwrite=overwrite)
    with locked(layout) if layout.folder.exists() else contextlib.nullcontext():
        finished = layout.is_store
        if finished and not overwrite:
            plan = of_store(plan, layout)
        target = Layout(layout.rebuild) if finished and overwrite else layout
        todo = missing_spaces(plan, target)
        if not todo:
            lacking = len(missing_indexes(plan, target))
            return Outlook("incomplete" if lacking else "complete", indexes=lacking)
        part = plan.only(todo)
        encoded = len(part.shards) - len(open_job(part, target).find().missing) if part.drawn is None else 0
        begun = folders.read_plan(target)
        resumed = begun is not None and unsampled(begun, part) == part.task
        if begun is not None and not resumed and not overwrite:
            check_begun(target.folder, unsampled(begun, part).get("settings", begun), part)
        state = "again" if target != layout else "interrupted" if resumed else "incomplete" if finished else "new"
        return Outlook(state, todo, shards=len(part.shards), encoded=encoded if resumed else 0)
