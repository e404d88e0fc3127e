"""What `kotovec evaluate pairs` prints: correlations as JSON and tables, and every pair for a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kotovec.cli.encodings import echo, own
from kotovec.text import counted, json_line

if TYPE_CHECKING:
    from kotovec.store.evaluation.intervals import Estimate
    from kotovec.store.evaluation.pairs import Asked, Correlation, Counts
    from kotovec.store.evaluation.words import Policy


def report_pairs(
    asked: "Sequence[Asked]",
    name: str,
    data: str,
    columns: str | None,
    policy: "Policy",
    settings: dict[str, Any],
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Print how well spaces agree with people about a data set; return its items, for a file.

    Args:
        asked: the stores and their spaces.
        name: the data set.
        data: what results call it.
        columns: its columns.
        policy: how words are looked up.
        settings: `common` and `seed`.
        as_json: print JSON.
    """
    from kotovec.store.evaluation.datasets import load_pairs
    from kotovec.store.evaluation.pairs import evaluate_pairs

    pairs = load_pairs(name, columns)
    found = evaluate_pairs(asked, pairs, policy, **settings)
    if as_json:
        shared = {"multi": str(policy.multi), "lower": policy.lower, **settings}
        for each in found:
            echo(json_line({"task": "pairs", "data": data, **each.as_dict(), **shared}))
    else:
        for group in groups(found, common=settings["common"]):
            _print(data, group, policy, several_stores=len(asked) > 1)
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


def groups(found: "Sequence[Any]", *, common: bool) -> list[list[Any]]:
    """Return the results that were asked the same items together."""
    together: dict[str, list[Any]] = {}
    for each in found:
        together.setdefault("" if common else each.store, []).append(each)
    return list(together.values())


def _print(data: str, found: "Sequence[Correlation]", policy: "Policy", *, several_stores: bool) -> None:
    from kotovec.cli.tables import notice, print_grid, print_title

    print_title(f"{data}: {header(found[0].counts, 'pair', policy)}")
    names = ["space", "Spearman", "95 %", "Pearson", "95 %", *(["difference", "95 %"] if len(found) > 1 else [])]
    rows = []
    for each in found:
        space = f"{each.store} {each.space}" if several_stores else str(each.space)
        cells = [*cells_of(each.spearman), *cells_of(each.pearson)]
        rows.append([space, *cells, *(cells_of(each.difference, signed=True) if len(found) > 1 else [])])
    print_grid(names, rows)
    for row, each in zip(rows, found, strict=True):
        if each.spearman.value is None:
            notice(f"note: all cosines of {row[0]} are equal: they correlate with nothing", quiet=False)


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
    single = ", answers of one token" if noun == "question" and policy.multi == "mean" else ""
    return (
        f"{counted(counts.items, noun)}, {counts.asked:,} asked; {missing}; "
        f"--multi {policy.multi}{single}, words {cased}"
    )


def cells_of(estimate: "Estimate | None", *, signed: bool = False) -> list[str]:
    """Return the cells of a number and its interval."""
    if estimate is None or estimate.value is None:
        return [own("—"), own("—")]
    return [f"{estimate.value:{'+' if signed else ''}.3f}", interval(estimate, signed=signed)]


def interval(estimate: "Estimate", *, signed: bool = False) -> str:
    """Return the cell of an interval."""
    if estimate.low is None or estimate.high is None:
        return own("—")
    sign = "+" if signed else ""
    return f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"
