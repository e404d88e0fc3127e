"""`kotovec evaluate`: spaces against data sets that people made."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kotovec.cli.chosen import choose_layers, find_stores, is_typed, store_titles, usual_space
from kotovec.cli.evaluate_options import (
    CategoriesOption,
    CommonOption,
    DataColumnsOption,
    DetailsOption,
    DrawSeedOption,
    FilesArgument,
    LowerOption,
    MeasureOption,
    MultiOption,
    SeveralStoresOption,
    StoredLayersOption,
    TaskArgument,
)
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.options import JsonOption, QuietOption, SpaceOption
from kotovec.cli.outputs import check_output
from kotovec.errors import InputError, NotStoredError, choices, quoted
from kotovec.space import BOTH, Space
from kotovec.text import counted, parts

if TYPE_CHECKING:
    from kotovec.store.evaluation.pairs import Asked

# The tasks, and the options that are for one of them.
TASKS = {"pairs": ("columns",), "analogies": ("measure", "categories")}


def command(
    context: typer.Context,
    task: TaskArgument = None,
    files: FilesArgument = None,
    store: SeveralStoresOption = None,
    space: SpaceOption = "static",
    layers: StoredLayersOption = "last",
    columns: DataColumnsOption = None,
    measure: MeasureOption = "3cosadd,only-b",
    multi: MultiOption = "skip",
    lower: LowerOption = False,
    common: CommonOption = False,
    seed: DrawSeedOption = 0,
    categories: CategoriesOption = False,
    details: DetailsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what the spaces of stores know: word pairs against people's scores, or analogies.

    Example: `kotovec evaluate pairs simlex999`
    """
    from kotovec.cli.correlated import report_pairs
    from kotovec.cli.solved import report_analogies
    from kotovec.cli.tables import notice
    from kotovec.store.evaluation.datasets import inputs_of, titles
    from kotovec.store.evaluation.details import ENDINGS, check_details, write_details
    from kotovec.store.evaluation.measures import Measure
    from kotovec.store.evaluation.words import Multi, Policy

    task, files = _check(context, task, files, seed)
    if details is not None:
        inputs = [*inputs_of(files), *find_stores(store)]
        check_output(details, *ENDINGS, option="--details", inputs=inputs)
        check_details(details)
    policy, measures = Policy(Multi.parse(multi), lower), Measure.parse_list(measure)
    settings = {"common": common, "seed": seed}
    lines: list[dict[str, Any]] = []
    with ExitStack() as opened, ending_at_once():
        asked = open_all(opened, store, space, layers)
        for name, data in zip(files, titles(files), strict=True):
            if task == "pairs":
                lines += report_pairs(asked, name, data, columns, policy, settings, as_json=as_json)
            else:
                lines += report_analogies(
                    asked,
                    name,
                    data,
                    measures,
                    policy,
                    settings,
                    as_json=as_json,
                    each=categories,
                    listed=details is not None,
                )
    if details is not None:
        write_details(details, lines)
        notice(f"{counted(len(lines), 'item')} written to {details}", quiet=quiet)


def _check(context: typer.Context, task: str | None, files: list[str] | None, seed: int) -> tuple[str, list[str]]:
    """Return the task and its data sets; an option in the environment that is for another task waits for that.

    Raises:
        InputError: there is no such task, no data set, an option of another task is typed, or the seed is negative.
    """
    if task not in TASKS:
        problem = "no task is given" if task is None else f"unknown task {quoted(task)}"
        raise InputError(problem, hint=f"choose {choices(TASKS)}")
    if not files:
        raise InputError("no data set is given", hint=f"name a file, as in {quoted(f'kotovec evaluate {task} FILE')}")
    if seed < 0:
        raise InputError(f"--seed is {seed}", hint="use 0 or more")
    for other, names in TASKS.items():
        for name in names if other != task else ():
            if is_typed(context, name):
                raise InputError(f"--{name} is for {other}, not for {task}", hint="leave it out")
    return task, files


def open_all(opened: ExitStack, store: Sequence[Path] | None, space: str, layers: str) -> "list[Asked]":
    """Return the open stores with the spaces that they are asked about: each has those that it holds.

    Raises:
        StoreNotFoundError, StoreError, DamagedError: as `open_store`.
        InputError: a store is named twice, or a list cannot be read.
        NotStoredError: no store holds one of the spaces.
    """
    from kotovec.store import Store
    from kotovec.store.evaluation.pairs import Asked
    from kotovec.store.prototypes import check_single

    paths = find_stores(store)
    stores = [opened.enter_context(Store.open(path)) for path in paths]
    found: list[dict[Space, None]] = [{} for _ in stores]
    for name in (each for part in parts(space) for each in (BOTH.split(",") if part == "both" else [part])):
        refused = []
        for each, held in zip(stores, found, strict=True):
            try:
                held.update(
                    dict.fromkeys(choose_layers(usual_space(type(space)(name), each.spaces), layers, each.spaces))
                )
                for named in held:
                    check_single(named, "an evaluation")
            except NotStoredError as error:
                refused.append(error)
        if len(refused) == len(stores):
            raise refused[0]
    return [
        Asked(title, each, tuple(held))
        for title, each, held in zip(store_titles(paths), stores, found, strict=True)
        if held
    ]
