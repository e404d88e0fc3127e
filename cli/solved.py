"""What `kotovec evaluate analogies` prints: scores as JSON and tables, and every question for a file."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kotovec.cli.correlated import cells_of, groups, header
from kotovec.cli.encodings import echo
from kotovec.text import json_line

if TYPE_CHECKING:
    from kotovec.store.evaluation.analogies import Solved
    from kotovec.store.evaluation.measures import Measure
    from kotovec.store.evaluation.pairs import Asked
    from kotovec.store.evaluation.questions import Category
    from kotovec.store.evaluation.scores import Score
    from kotovec.store.evaluation.words import Policy

_SCORE = ("@1", "95 %", "@5", "@10", "1/rank", "95 %")
_DIFFERENCE = ("difference", "95 %")
_LANDED = ("b", "a*", "a", "other")


def report_analogies(
    asked: "Sequence[Asked]",
    name: str,
    data: str,
    measures: "Sequence[Measure]",
    policy: "Policy",
    settings: dict[str, Any],
    *,
    as_json: bool,
    each: bool,
    listed: bool,
) -> list[dict[str, Any]]:
    """Print how spaces answer the analogies of a data set; return its items, for a file.

    Args:
        asked: the stores and their spaces.
        name: the data set.
        data: what results call it.
        measures: how analogies are answered.
        policy: how words are looked up.
        settings: `common` and `seed`.
        as_json: print JSON.
        each: print every category, too.
        listed: return the items; otherwise nothing.
    """
    from kotovec.store.evaluation.analogies import evaluate_analogies
    from kotovec.store.evaluation.datasets import load_analogies

    categories = load_analogies(name)
    found = evaluate_analogies(asked, categories, policy, measures, **settings)
    if as_json:
        shared = {"multi": str(policy.multi), "lower": policy.lower, **settings}
        for solved in found:
            echo(json_line({"task": "analogies", "data": data, **solved.as_dict(), **shared}))
    else:
        for group in groups(found, common=settings["common"]):
            _print(data, group, policy, several_stores=len(asked) > 1)
            if each:
                _print_categories(data, group, several_stores=len(asked) > 1)
    stores = {each.name: each for each in asked}
    return [
        {"data": data, **item}
        for solved in (found if listed else [])
        for item in _items(solved, categories, stores[solved.store])
    ]


def _print(data: str, found: "Sequence[Solved]", policy: "Policy", *, several_stores: bool) -> None:
    from kotovec.cli.tables import print_grid, print_title
    from kotovec.store.evaluation.relations import LEARNED

    of_questions = [each for each in found if each.measure not in LEARNED]
    noun = "question" if of_questions else "pair"
    print_title(f"{data}: {header((of_questions or found)[0].counts, noun, policy)}")
    is_compared = any(each.without_inputs.difference for each in found)
    rows, inside = [], []
    for each in found:
        names = [_space(each, several_stores), str(each.measure)]
        score = each.without_inputs
        difference = cells_of(score.difference, signed=True) if is_compared else []
        rows.append([*names, f"{score.questions:,}", *_cells(score), *difference])
        inside.append([*names, *_cells(each.among_all), *(f"{each.landed[name]:.3f}" for name in _LANDED)])
    print_grid(["space", "measure", "asked", *_SCORE, *(_DIFFERENCE if is_compared else ())], rows, left=2)
    print_title(f"{data}, with the words of the question among the rows")
    print_grid(["space", "measure", *_SCORE, *_LANDED], inside, left=2)


def _print_categories(data: str, found: "Sequence[Solved]", *, several_stores: bool) -> None:
    from kotovec.cli.tables import print_grid, print_title

    for name in found[0].categories:
        print_title(f"{data}, {name}: {found[0].categories[name][0].questions:,} asked")
        rows = []
        for each in found:
            without, among_all = each.categories[name]
            cells = [*_cells(without), f"{among_all.accuracy[0].value:.3f}"]
            rows.append([_space(each, several_stores), str(each.measure), *cells])
        print_grid(["space", "measure", *_SCORE, "with inputs: @1"], rows, left=2)


def _space(solved: "Solved", several_stores: bool) -> str:
    return f"{solved.store} {solved.space}" if several_stores else str(solved.space)


def _cells(score: "Score") -> list[str]:
    first, *others = score.accuracy
    return [*cells_of(first), *(f"{each.value:.3f}" for each in others), *cells_of(score.reciprocal)]


def _items(solved: "Solved", categories: "Sequence[Category]", asked: "Asked") -> Iterator[dict[str, Any]]:
    """Yield every question that was asked, with its ranks and the first row of all."""
    from kotovec.store.evaluation.relations import LEARNED

    surfaces = asked.store.tokens.surfaces
    for category in categories:
        if category.name not in solved.items:
            continue
        numbers, ranks = solved.items[category.name]
        for index, number in enumerate(numbers.tolist()):
            yield {
                "store": solved.store,
                "space": str(solved.space),
                "measure": str(solved.measure),
                "category": category.name,
                **_words(category, number, is_pair=solved.measure in LEARNED),
                "without_inputs": int(ranks.without_inputs[index]) or None,
                "among_all": int(ranks.among_all[index]),
                "first": surfaces[int(ranks.first[index])],
            }


def _words(category: "Category", number: int, *, is_pair: bool) -> dict[str, Any]:
    """Return the words of a question; of a pair, whose relation is learned from the others, there is no a."""
    if is_pair:
        word, answers = category.pairs[number]
        return {"a": None, "a_star": None, "b": word, "answers": list(answers)}
    question = category.questions[number]
    return {"a": question.a, "a_star": question.a_star, "b": question.b, "answers": list(question.answers)}
