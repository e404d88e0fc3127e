"""The sections of a report about data sets that people made: analogies and word pairs, in every space."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kotovec.cli.report_content import Cell, Point, Section, Table
from kotovec.cli.report_layers import make_figures
from kotovec.cli.report_spaces import Held, Request, Texts, asked_as
from kotovec.errors import InputError, MissingDependencyError
from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store.evaluation.analogies import Solved
    from kotovec.store.evaluation.intervals import Estimate
    from kotovec.store.evaluation.pairs import Asked, Correlation, Counts
    from kotovec.store.evaluation.scores import Score
    from kotovec.store.evaluation.words import Policy


def analogy_section(held: Sequence[Held], request: Request, words: Texts) -> Section:
    """Return the section about analogies: 3CosAdd and Only-b, with the words of the question out and in."""
    from kotovec.store.evaluation.analogies import evaluate_analogies
    from kotovec.store.evaluation.datasets import load_analogies, title

    name = request.analogies
    heading = _heading(words["analogies"], None if name is None else title(name))
    if name is None:
        return Section("analogies", heading, [words["analogies_missing"]])
    try:
        data = load_analogies(name)
    except MissingDependencyError as error:
        return Section("analogies", heading, [f"{error}: {error.hint}", words["analogies_missing"]])

    def ask(stores: "Sequence[Asked]", policy: "Policy") -> "list[Solved]":
        return evaluate_analogies(stores, data, policy, common=request.common, seed=request.seed)

    found, lines = _ask(held, request, ask, words, "questions")
    if not found:
        return Section("analogies", heading, lines)
    pairs = list(zip(found[::2], found[1::2], strict=True))
    rows = [_analogy_row(*each, words) for each in pairs]
    out, inside, only, only_in = (words[key] for key in ("inputs_out", "inputs_in", "only_b", "only_b_in"))
    names = [words["space"], words["asked"], out, words["interval"], inside, only, words["interval"], only_in]
    series = {
        out: [_share(add, add.without_inputs) for add, _ in pairs],
        inside: [_share(add, add.among_all) for add, _ in pairs],
        only: [_share(base, base.without_inputs) for _, base in pairs],
        only_in: [_share(base, base.among_all) for _, base in pairs],
    }
    figures = make_figures(heading, [(add.store, add.space) for add, _ in pairs], series, words)
    lines = [words["analogies_note"], *lines]
    command = _command("analogies", name, held, found, request)
    return Section("analogies", heading, lines, [Table(heading, names, rows)], figures, [command], words["axis"])


def _analogy_row(add: "Solved", base: "Solved", words: Texts) -> list[Cell]:
    return [
        f"{add.store} {add.space}",
        add.counts.asked,
        add.without_inputs.accuracy[0].value,
        _range(add.without_inputs.accuracy[0], words),
        add.among_all.accuracy[0].value,
        base.without_inputs.accuracy[0].value,
        _range(base.without_inputs.accuracy[0], words),
        base.among_all.accuracy[0].value,
    ]


def _share(solved: "Solved", score: "Score") -> Point:
    at_1 = score.accuracy[0]
    return Point(f"{solved.store} {solved.space}", at_1.value, at_1.low, at_1.high)


def pair_section(held: Sequence[Held], request: Request, words: Texts) -> Section:
    """Return the section about word pairs: Spearman's correlation in every space."""
    from kotovec.store.evaluation.datasets import load_pairs, title
    from kotovec.store.evaluation.pairs import evaluate_pairs

    name = request.pairs
    heading = _heading(words["pairs"], None if name is None else title(name))
    if name is None:
        return Section("pairs", heading, [words["pairs_missing"]])
    try:
        data = load_pairs(name, request.columns)
    except MissingDependencyError as error:
        return Section("pairs", heading, [f"{error}: {error.hint}", words["pairs_missing"]])

    def ask(stores: "Sequence[Asked]", policy: "Policy") -> "list[Correlation]":
        return evaluate_pairs(stores, data, policy, common=request.common, seed=request.seed)

    found, lines = _ask(held, request, ask, words, "pairs")
    if not found:
        return Section("pairs", heading, lines)
    names = [
        words["space"],
        words["asked"],
        words["spearman"],
        words["interval"],
        words["difference"],
        words["interval"],
    ]
    series = {words["spearman"]: list(map(_correlation, found))}
    figures = make_figures(heading, [(each.store, each.space) for each in found], series, words)
    lines = [words["pairs_note"], *lines]
    table = Table(heading, names, [_pair_row(each, words) for each in found])
    command = _command("pairs", name, held, found, request)
    return Section("pairs", heading, lines, [table], figures, [command], words["axis"])


def _pair_row(found: "Correlation", words: Texts) -> list[Cell]:
    difference = found.difference
    signed = None if difference is None or difference.value is None else f"{difference.value:+.3f}"
    return [
        f"{found.store} {found.space}",
        found.counts.asked,
        found.spearman.value,
        _range(found.spearman, words),
        signed,
        None if difference is None else _range(difference, words, "+"),
    ]


def _correlation(found: "Correlation") -> Point:
    rho = found.spearman
    return Point(f"{found.store} {found.space}", rho.value, rho.low, rho.high)


def _heading(text: str, name: str | None) -> str:
    """Return the heading of a section, with the data set after its colon if there is one."""
    return text.partition("{name}")[0].rstrip(" :：") if name is None else text.format(name=name)


def _range(estimate: "Estimate", words: Texts, sign: str = "") -> str | None:
    if estimate.low is None or estimate.high is None:
        return None
    return words["range"].format(low=f"{estimate.low:{sign}.3f}", high=f"{estimate.high:{sign}.3f}")


def _ask(
    held: Sequence[Held],
    request: Request,
    ask: "Callable[[Sequence[Asked], Policy], list[Any]]",
    words: Texts,
    noun: str,
) -> tuple[list[Any], list[str]]:
    """Return what stores answer, and a line for each: what it was asked, or why it could not be.

    With `--common`, all of them are asked together, and have one line.
    """
    from kotovec.store.evaluation.pairs import Asked
    from kotovec.store.evaluation.words import Multi, Policy

    policy = Policy(Multi(request.multi), request.lower)
    found: list[Any] = []
    lines = []
    for group in [list(held)] if request.common else [[each] for each in held]:
        stores = words["and"].join(each.title for each in group)
        try:
            answered = ask([Asked(each.title, each.store, tuple(each.spaces)) for each in group], policy)
        except InputError:  # nothing can be asked, as the only reason
            lines.append(words[f"no_{noun}"].format(store=stores))
            continue
        found += answered
        lines.append(_asked(answered[0].counts, stores, words, noun))
    if len({(each.counts.asked, each.counts.items) for each in found}) > 1:
        lines.append(words["apart"])
    return found, lines


def _asked(counts: "Counts", stores: str, words: Texts, noun: str) -> str:
    """Return the sentence about how many pairs or questions were asked, and why not all."""
    about = {name: f"{number:,}" for name, number in asdict(counts).items()} | {"missing": f"{counts.missing:,}"}
    causes = {"unknown": counts.unknown, "several": counts.several, "absent": counts.absent}
    reasons = words["and"].join(words[name].format(count=f"{number:,}") for name, number in causes.items() if number)
    key = "all" if counts.asked == counts.items else "asked" if reasons else "some"
    return words[f"{key}_{noun}"].format(store=stores, reasons=reasons, **about)


def _command(
    task: str, name: str, held: Sequence[Held], found: "Sequence[Solved | Correlation]", request: Request
) -> str:
    """Return the command that asks the stores that could be asked."""
    answered = {each.store for each in found}
    asked = asked_as([each for each in held if each.title in answered])
    return f"kotovec evaluate {task} {argument(name)} {asked}{request.options(task)}"
