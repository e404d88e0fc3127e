"""`kotovec contexts`: the sentences that the context vectors of a token come from."""

from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import TYPE_CHECKING

from kotovec.cli.arguments import in_shell
from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo, own
from kotovec.cli.options import JsonOption, QuietOption, SentencesOption, StoreOption, WordsArgument
from kotovec.errors import InputError
from kotovec.space import PROTOTYPES
from kotovec.text import counted, json_line

if TYPE_CHECKING:
    from kotovec.store.sentences import Contexts, Uses

_WHERE_ANY = ("prototypes", "reason")  # keys that JSON has only where there is something to say


def command(
    terms: WordsArgument = None,
    store: StoreOption = None,
    k: SentencesOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the sentences that the context vectors of tokens come from, of a store built with --keep-text.

    Example: `kotovec contexts 王 -k 5`
    """
    from kotovec.cli.tables import notice

    if not terms:
        raise InputError("no token is given", hint="give some, such as `kotovec contexts 王`")
    if k is not None and k < 1:
        raise InputError(f"-k is {k}", hint="use 1 or more")
    with open_store(store) as opened:
        found = [opened.contexts(term) for term in terms]
        others = [str(space) for space in opened.spaces if space.name not in ("context", PROTOTYPES)]
    for each in found:
        if as_json:
            data = asdict(each) | {"sentences": each.sentences[:k]}
            data["prototypes"] = {space: numbers[:k] for space, numbers in each.prototypes.items()}
            echo(json_line({name: value for name, value in data.items() if value or name not in _WHERE_ANY}))
        else:
            _print(each, k)
    for each in found:
        if not each.sentences:
            why = f": {each.reason}" if each.reason else ""
            have = f"; it has a vector in {', '.join(others)} alone" if others else ""
            notice(f"note: {in_shell(each.token)} has no contexts{why}{have}", quiet=quiet)
        if each.inside:
            note = f"{each.token} was never seen as a whole word: its contexts have it inside of other words"
            notice(f"note: {in_shell(note)}", quiet=quiet)


def _print(found: "Contexts", k: int | None) -> None:
    from kotovec.cli.tables import print_grid, print_quotes

    of = _about(round(found.occurrences), found.error)
    title = f"{found.token}  (id {found.id}; {counted(len(found.sentences), 'context')} of {of} with it)"
    print_quotes(title, _grouped(found, k), found.token.strip("▁#"))
    if found.spaces and found.sentences:
        rows = [(each.space, f"{each.uses:,}", *map(_cell, (each.norm, *_shares(each)))) for each in found.spaces]
        print_grid(["space", "uses", "norm", "self-similarity", "random pairs", "reliability"], rows)


def _about(count: int, error: float | None) -> str:
    """Return a number of sentences, with its relative standard error where it is an estimate."""
    if error == 0:
        return counted(count, "sentence")
    known = f" ({own('±')}{100 * error:.0f} %)" if error is not None else ""
    return f"about {count:,}{known} {'sentence' if count == 1 else 'sentences'}"


def _grouped(found: "Contexts", k: int | None) -> "dict[str, Sequence[str]]":
    """Return the first k sentences; with prototypes, the first k of each of those in the last layer, under its name."""
    if not found.prototypes:
        return {"": found.sentences[:k]}
    space, numbers = list(found.prototypes.items())[-1]
    groups: dict[int, list[str]] = {}
    for number, sentence in sorted(zip(numbers, found.sentences, strict=True), key=itemgetter(0)):
        groups.setdefault(number, []).append(sentence)
    return {
        f"{space}, {number} of {len(groups)}: {counted(len(sentences), 'context')}": sentences[:k]
        for number, sentences in groups.items()
    } or {"": ()}


def _shares(uses: "Uses") -> tuple[float | None, ...]:
    return uses.self_similarity, uses.random_similarity, uses.reliability


def _cell(number: float | None) -> str:
    return own("—") if number is None else f"{number:.3f}"
