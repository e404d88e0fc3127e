"""`kotovec evaluate`: spaces against data sets that people made."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.cli.chosen import find_store, store_titles, usual_space
from kotovec.cli.encodings import echo, own
from kotovec.cli.evaluate_options import (
    CommonOption,
    DataColumnsOption,
    DetailsOption,
    DrawSeedOption,
    FilesArgument,
    LowerOption,
    MultiOption,
    SeveralStoresOption,
    StoredLayersOption,
    TaskArgument,
)
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.options import JsonOption, QuietOption, SpaceOption
from kotovec.cli.outputs import check_output
from kotovec.errors import InputError, NotStoredError, choices, quoted
from kotovec.space import Space, parse_spaces, resolve
from kotovec.text import counted, json_line, parts

if TYPE_CHECKING:
    from kotovec.store.evaluation.intervals import Estimate
    from kotovec.store.evaluation.pairs import Asked, Correlation, Counts
    from kotovec.store.evaluation.similarity import Pair
    from kotovec.store.evaluation.words import Policy

TASKS = ("pairs",)


def command(
    task: TaskArgument = None,
    files: FilesArgument = None,
    store: SeveralStoresOption = None,
    space: SpaceOption = "static",
    layers: StoredLayersOption = "last",
    columns: DataColumnsOption = None,
    multi: MultiOption = "skip",
    lower: LowerOption = False,
    common: CommonOption = False,
    seed: DrawSeedOption = 0,
    details: DetailsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what the spaces of stores know: cosines of word pairs against people's scores.

    Example: `kotovec evaluate pairs simlex999`
    """
    from kotovec.cli.tables import notice
    from kotovec.store.evaluation.words import Multi, Policy

    if task not in TASKS:
        problem = "no task is given" if task is None else f"unknown task {quoted(task)}"
        raise InputError(problem, hint=f"choose {choices(TASKS)}")
    if not files:
        raise InputError("no data set is given", hint=f"name a file, as in {quoted(f'kotovec evaluate {task} FILE')}")
    if details is not None:
        check_output(details, ".jsonl", option="--details")
    policy = Policy(Multi.parse(multi), lower)
    data = {name: _read_pairs(name, columns) for name in files}
    lines: list[dict[str, Any]] = []
    with ExitStack() as opened, ending_at_once():
        asked = open_all(opened, store, space, layers)
        for name, pairs in data.items():
            lines += _pairs(asked, name, pairs, policy, common, seed, as_json)
    if details is not None:
        _write_lines(details, lines)
        notice(f"{counted(len(lines), 'item')} written to {details}", quiet=quiet)


def open_all(opened: ExitStack, store: Sequence[Path] | None, space: str, layers: str) -> "list[Asked]":
    """Return the open stores with the spaces that they are asked about: each has those that it holds.

    Raises:
        StoreNotFoundError, StoreError, DamagedError: as `open_store`.
        InputError: a store is named twice, or a list cannot be read.
        NotStoredError: no store holds one of the spaces.
    """
    from kotovec.store import Store
    from kotovec.store.evaluation.pairs import Asked

    paths = list(store or [find_store(None)])
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a store is named twice", hint="name each store once")
    stores = [opened.enter_context(Store.open(path)) for path in paths]
    found: list[dict[Space, None]] = [{} for _ in stores]
    for name in parts(space):
        refused = []
        for each, held in zip(stores, found, strict=True):
            try:
                held.update(dict.fromkeys(_spaces(usual_space(type(space)(name), each.spaces), layers, each.spaces)))
            except NotStoredError as error:
                refused.append(error)
        if len(refused) == len(stores):
            raise refused[0]
    return [
        Asked(title, each, tuple(held))
        for title, each, held in zip(store_titles(paths), stores, found, strict=True)
        if held
    ]


def _spaces(text: str, layers: str, stored: Sequence[Space]) -> list[Space]:
    """Return the stored spaces that a list names; one that has layers and names none is taken in those of --layers.

    Raises:
        InputError: a list cannot be read.
        NotStoredError: the store does not hold a space, or a layer.
    """
    found: list[Space] = []
    for space in parse_spaces(text, stored):
        if space.layer != -1 or layers == "last":
            found += resolve([space], stored)
        elif layers == "all":
            alike = [each for each in stored if (each.name, each.steps, each.first) == (space.name, space.steps, None)]
            found += alike or resolve([space], stored)
        else:
            found += resolve([space.at(number) for number in _numbers(layers)], stored)
    return found


def _numbers(layers: str) -> list[int]:
    try:
        return [int(part) for part in parts(layers)]
    except ValueError as error:
        problem = f"--layers {quoted(layers)} is not a list of layers"
        raise InputError(problem, hint="choose `last`, `all`, or numbers such as `0,6`") from error


def _read_pairs(name: str, columns: str | None) -> "list[Pair]":
    from kotovec.store.evaluation.datasets import PAIRS, locate
    from kotovec.store.evaluation.similarity import read_pairs

    return read_pairs(locate(name, PAIRS), columns)


def _pairs(
    asked: "Sequence[Asked]",
    name: str,
    pairs: "Sequence[Pair]",
    policy: "Policy",
    common: bool,
    seed: int,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Print how well spaces agree with people about a data set; return its items, for a file."""
    from kotovec.store.evaluation.datasets import title
    from kotovec.store.evaluation.pairs import evaluate_pairs

    data = title(name)
    found = evaluate_pairs(asked, pairs, policy, common=common, seed=seed)
    settings = {"multi": str(policy.multi), "lower": policy.lower, "common": common, "seed": seed}
    if as_json:
        for each in found:
            echo(json_line({"task": "pairs", "data": data, **each.as_dict(), **settings}))
    else:
        for group in _groups(found, common):
            _print_pairs(data, group, policy, several_stores=len(asked) > 1)
    return [
        {
            "data": data,
            "word1": pair.word1,
            "word2": pair.word2,
            "score": pair.score,
            "cosines": {f"{each.store} {each.space}": float(each.cosines[index]) for each in found},  # NaN is null
        }
        for index, pair in enumerate(pairs)
    ]


def _groups(found: "Sequence[Correlation]", common: bool) -> "list[list[Correlation]]":
    """Return the results that were asked the same items together."""
    groups: dict[str, list[Correlation]] = {}
    for each in found:
        groups.setdefault("" if common else each.store, []).append(each)
    return list(groups.values())


def _print_pairs(data: str, found: "Sequence[Correlation]", policy: "Policy", *, several_stores: bool) -> None:
    from kotovec.cli.tables import print_grid, print_title

    print_title(f"{data}: {header(found[0].counts, 'pair', policy)}")
    names = ["space", "Spearman", "95 %", "Pearson", "95 %", *(["difference", "95 %"] if len(found) > 1 else [])]
    rows = []
    for each in found:
        space = f"{each.store} {each.space}" if several_stores else str(each.space)
        cells = [*cells_of(each.spearman), *cells_of(each.pearson)]
        rows.append([space, *cells, *(cells_of(each.difference, signed=True) if len(found) > 1 else [])])
    print_grid(names, rows)


def header(counts: "Counts", noun: str, policy: "Policy") -> str:
    """Return what was asked and what is missing, for the title of a table."""
    reasons = {
        "unknown": counts.unknown,
        "of several tokens": counts.several,
        "without a vector in a space": counts.absent,
    }
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    missing = f"{counts.missing:,} of {counted(counts.words, 'word')} missing{f' ({why})' if why else ''}"
    cased = "in lower case" if policy.lower else "as they are"
    return f"{counted(counts.items, noun)}, {counts.asked:,} asked; {missing}; --multi {policy.multi}, words {cased}"


def cells_of(estimate: "Estimate | None", *, signed: bool = False) -> list[str]:
    """Return the cells of a number and its interval."""
    if estimate is None or estimate.value is None:
        return [own("—"), own("—")]
    sign = "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return [f"{estimate.value:{sign}.3f}", own("—")]
    return [f"{estimate.value:{sign}.3f}", f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"]


def _write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    from kotovec.store.outputs import write_output

    write_output(path, "".join(f"{json_line(line)}\n" for line in lines).encode())
