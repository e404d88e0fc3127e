"""The sections of a report about data sets that people made: analogies and word pairs, in every space."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kotovec.cli.report_content import Cell, Figure, Point, Section, Table
from kotovec.cli.report_spaces import Held, Texts, asked_as
from kotovec.errors import InputError, MissingDependencyError
from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store.evaluation.analogies import Solved
    from kotovec.store.evaluation.intervals import Estimate
    from kotovec.store.evaluation.pairs import Asked, Correlation, Counts
    from kotovec.store.evaluation.scores import Score


def analogy_section(held: Sequence[Held], name: str | None, words: Texts, *, seed: int, lower: bool) -> Section:
    """Return the section about analogies: 3CosAdd and Only-b, with the words of the question out and in."""
    from kotovec.store.evaluation.analogies import evaluate_analogies
    from kotovec.store.evaluation.datasets import load_analogies, title
    from kotovec.store.evaluation.words import Policy

    heading = _heading(words["analogies"], None if name is None else title(name))
    if name is None:
        return Section("analogies", heading, [words["analogies_missing"]])
    try:
        data = load_analogies(name)
    except MissingDependencyError as error:
        return Section("analogies", heading, [f"{error}: {error.hint}", words["analogies_missing"]])
    policy = Policy(lower=lower)
    found, lines = _of_each(
        held, lambda asked: evaluate_analogies([asked], data, policy, seed=seed), words, "questions"
    )
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
    figure = Figure(heading, f"{words['axis']} {', '.join(series)}.", series)
    lines = [words["analogies_note"], *lines, words["axis"]]
    command = _command("analogies", name, held, found, seed=seed, lower=lower)
    return Section("analogies", heading, lines, [Table(heading, names, rows)], [figure], [command])


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


def pair_section(held: Sequence[Held], name: str | None, words: Texts, *, seed: int, lower: bool) -> Section:
    """Return the section about word pairs: Spearman's correlation in every space."""
    from kotovec.store.evaluation.datasets import load_pairs, title
    from kotovec.store.evaluation.pairs import evaluate_pairs
    from kotovec.store.evaluation.words import Policy

    heading = _heading(words["pairs"], None if name is None else title(name))
    if name is None:
        return Section("pairs", heading, [words["pairs_missing"]])
    try:
        data = load_pairs(name)
    except MissingDependencyError as error:
        return Section("pairs", heading, [f"{error}: {error.hint}", words["pairs_missing"]])
    policy = Policy(lower=lower)
    found, lines = _of_each(held, lambda asked: evaluate_pairs([asked], data, policy, seed=seed), words, "pairs")
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
    figure = Figure(
        heading, f"{words['axis']} {words['spearman']}.", {words["spearman"]: list(map(_correlation, found))}
    )
    lines = [words["pairs_note"], *lines, words["axis"]]
    table = Table(heading, names, [_pair_row(each, words) for each in found])
    command = _command("pairs", name, held, found, seed=seed, lower=lower)
    return Section("pairs", heading, lines, [table], [figure], [command])


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


def _of_each(
    held: Sequence[Held],
    ask: "Callable[[Asked], Sequence[Any]]",
    words: Texts,
    noun: str,
) -> tuple[list[Any], list[str]]:
    """Return what stores answer, and a line for each: what it was asked, or why it could not be."""
    from kotovec.store.evaluation.pairs import Asked

    found: list[Any] = []
    lines = []
    for each in held:
        try:
            answered = ask(Asked(each.title, each.store, tuple(each.spaces)))
        except InputError as error:
            lines.append(words["not_asked"].format(store=each.title, problem=error))
            continue
        found += answered
        counts: Counts = answered[0].counts
        about = {name: f"{number:,}" for name, number in asdict(counts).items()} | {"missing": f"{counts.missing:,}"}
        lines.append(words[f"asked_{noun}"].format(store=each.title, **about))
    if len({(each.counts.asked, each.counts.items) for each in found}) > 1:
        lines.append(words["apart"])
    return found, lines


def _command(
    task: str, name: str, held: Sequence[Held], found: "Sequence[Solved | Correlation]", *, seed: int, lower: bool
) -> str:
    """Return the command that asks the stores that could be asked."""
    answered = {each.store for each in found}
    asked = asked_as([each for each in held if each.title in answered])
    options = f"{' --lower' if lower else ''}{f' --seed {seed}' if seed else ''}"
    return f"kotovec evaluate {task} {argument(name)} {asked}{options}"
