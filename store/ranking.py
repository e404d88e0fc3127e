"""The rank of a token among all that may answer an expression: better scores are counted, and nothing is searched.

All scores are float64, summed row by row, so that equal vectors have equal scores; of these, that of the lower row is
ahead, which is the order of token ids.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, NotStoredError, UnknownTokenError, quoted
from kotovec.space import PROTOTYPES, Space
from kotovec.store import lens
from kotovec.store.arguments import Search, kind_of
from kotovec.store.gaps import Gaps
from kotovec.store.layout import Layout
from kotovec.store.metric import Metric, Scores
from kotovec.store.nearest import SCAN_BLOCK, Matrix, within
from kotovec.store.question import Question, resolve
from kotovec.store.scripts import answerable

if TYPE_CHECKING:
    from kotovec.store.scripts import Masks
    from kotovec.store.terms import Lookup, ResolvedTerm
    from kotovec.store.vectors import Vectors

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rank:
    """Where a target stands among the answers to an expression.

    Attributes:
        target: the target as it was named.
        token: the token that it is, as a person reads it; None if it is not one token.
        id: the id of the token, or None.
        rank: its rank from 1; None if it is no answer.
        among: how many rows may be answers.
        score: its squared L2 distance, cosine or inner product, float64; None without a rank.
        note: what a person should know: why there is no rank, or how the target was read; otherwise None.
    """

    target: str
    token: str | None
    id: int | None
    rank: int | None
    among: int
    score: float | None
    note: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data; the keys are stable."""
        return asdict(self)


def rank_targets(
    vectors: "Vectors",
    lookup: "Lookup",
    question: Question,
    space: Space,
    search: Search,
    targets: Iterable[str],
    written: "Masks",
) -> list[Rank]:
    """Return the rank of each target.

    Args:
        vectors: the open files of the store.
        lookup: the lookup in its table.
        question: the expression.
        space: the stored space of its vector.
        search: how it is asked; its `k`, `device` and `exact` mean nothing here.
        targets: each one term, as an expression has it.
        written: which tokens are of which scripts, as far as it is known; what is found is added.

    Raises:
        ExpressionError, InputError: a target cannot be read, or is no single term; or as in `Store.search`.
        NotStoredError: as in `Store.search`.
    """
    if isinstance(targets, str):
        raise InputError("targets are a list, not a str", hint=f"write `[{targets!r}]`")
    metric = Metric.parse(search.metric)
    if search.unit_terms and metric.is_distance:
        raise InputError(f"unit terms mean nothing with {metric}", hint="use them with `cosine` or `ip`")
    named = [(target, _find(target, lookup)) for target in targets]
    view = lens.look(vectors, space, search.space or space, search.within)
    query = view.through(question.vector[np.newaxis])[0]
    scores = metric.sign * score_all(vectors, view.within, query, metric)
    left_out = {**Gaps(vectors, view.within).reasons(), **_left_out(lookup, question, search, written)}
    allowed = ~np.logical_or.reduce([np.zeros(len(scores), dtype=np.bool_), *left_out.values()])
    among = int(allowed.sum())
    found = []
    for target, read in named:
        if isinstance(read, str):
            found.append(Rank(target, None, None, None, among, None, f"{quoted(target)} has no rank: {read}"))
            continue
        row = read.rows[0]
        token, number = lookup.tokens.surfaces[row], int(lookup.tokens.ids[row])
        why = next((reason for reason, rows in left_out.items() if rows[row]), None)
        if why is not None:
            note = f"{quoted(target)} has no rank in {view.within}: {why}"
            found.append(Rank(target, token, number, None, among, None, note))
        else:
            score = metric.sign * float(scores[row])
            found.append(Rank(target, token, number, count_ahead(scores, row, allowed) + 1, among, score, read.note))
    return found


def _left_out(lookup: "Lookup", question: Question, search: Search, written: "Masks") -> dict[str, Mask]:
    """Return which rows (V,) a search leaves out, by the reason."""
    found: dict[str, Mask] = {}
    if search.exclude_inputs:
        inputs = np.zeros(len(lookup.tokens), dtype=np.bool_)
        inputs[lookup.forms(question.rows)] = True
        found["it is an input, and inputs are left out"] = inputs
    if search.words_only or search.script is not None:
        kept = answerable(lookup.tokens, search.script, written, words_only=search.words_only)
        found["it is of a kind or script that is left out"] = ~np.asarray(kept)
    return found


def score_all(vectors: "Vectors", space: Space, query: npt.NDArray[np.float64], metric: Metric) -> Scores:
    """Return the scores of all rows of a space for a query (D,): (V,) float64; of prototypes, those of the best centre.

    Raises:
        InputError: the query is not finite.
    """
    with np.errstate(over="ignore"):
        if not np.isfinite(np.linalg.norm(query)):
            raise InputError("a query is not finite, or too long to be squared in float64")
    if metric is Metric.CSLS:
        from kotovec.store.geometry.csls import open_csls

        return open_csls(vectors, Layout(vectors.path).measures, space).score(query)
    if space.name != PROTOTYPES:
        return _score_rows(Matrix(np.asarray(vectors.array(space)), np.asarray(vectors.norms(space))), query, metric)
    from kotovec.store.prototypes import of_parts

    centres = of_parts(vectors.parts(space))
    scores = _score_rows(Matrix(np.asarray(centres.centres), np.asarray(centres.norms)), query, metric)
    best = np.full(len(centres.offsets) - 1, np.inf)
    np.minimum.at(best, centres.owners, metric.sign * scores)
    return metric.sign * best


def _score_rows(matrix: Matrix, query: npt.NDArray[np.float64], metric: Metric) -> Scores:
    scores, block = np.empty(len(matrix.vectors)), within(SCAN_BLOCK, matrix)
    for start in range(0, len(scores), block):
        part = slice(start, start + block)
        scores[part] = metric.exact(matrix.vectors[part].astype(np.float64), matrix.norms[part], query)
    return scores


def count_ahead(scores: Scores, row: int, allowed: Mask) -> int:
    """Return how many of the allowed rows are ahead of a row: with a smaller score, or an equal one and before it."""
    ahead = scores < scores[row]
    ahead[:row] |= scores[:row] == scores[row]
    return int(np.count_nonzero(ahead & allowed))


def _find(target: str, lookup: "Lookup") -> "ResolvedTerm | str":
    """Return the term that a target is; why it has no rank, if it is not one token.

    Raises:
        ExpressionError: it cannot be read.
        InputError: it is not a single term.
    """
    if not isinstance(target, str):
        raise InputError(f"a target is a str, not {kind_of(target)}", hint="name a token, such as `queen`")
    try:
        terms, _ = resolve(target, lookup)
    except (UnknownTokenError, NotStoredError) as error:
        return str(error)
    if len(terms) != 1 or terms[0].weight != 1:
        hint = f"to name one token, put it in quotes: {quoted(_in_quotes(target))}"
        raise InputError(f"{quoted(target)} is an expression, and a rank is that of one token", hint=hint)
    if terms[0].unnamed is not None:
        return "it is a row without a token"
    if len(terms[0].rows) != 1:
        return f"it is not one token ({' | '.join(terms[0].tokens)})"
    return terms[0]


def _in_quotes(text: str) -> str:
    return f'"{text.strip()}"'
