"""What a search gives: plain data, ready for a table or JSON."""

from dataclasses import dataclass
from typing import Any

from kotovec.space import Space
from kotovec.store.terms import ResolvedTerm


@dataclass(frozen=True)
class Hit:
    """One row of an answer.

    Attributes:
        rank: from 1.
        token: as a person reads it.
        text: as the vocabulary spells it.
        id: token id.
        score: float64; squared L2 distance, cosine or inner product.
        is_input: the token is one of those that the expression is made of.
    """

    rank: int
    token: str
    text: str
    id: int
    score: float
    is_input: bool


@dataclass(frozen=True)
class Answer:
    """The nearest tokens of one expression.

    Attributes:
        expression: as kotovec understood it.
        space, metric: where and how was searched.
        terms: what each term was taken for.
        notes: what a person should know: means of subwords, forms of a word, an approximate index.
        hits: best first; equal scores by token id.
    """

    expression: str
    space: Space
    metric: str
    terms: tuple[ResolvedTerm, ...]
    notes: tuple[str, ...]
    hits: tuple[Hit, ...]

    @property
    def layer(self) -> int | None:
        """The layer of the space, where it has one."""
        return self.space.layer

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready data; the keys are stable."""
        return {
            "expression": self.expression,
            "space": str(self.space),
            "layer": self.layer,
            "metric": self.metric,
            "terms": [{"text": term.text, "weight": term.weight, "tokens": list(term.tokens)} for term in self.terms],
            "notes": list(self.notes),
            "results": [
                {
                    "rank": hit.rank,
                    "token": hit.token,
                    "text": hit.text,
                    "id": hit.id,
                    "score": hit.score,
                    "is_input": hit.is_input,
                }
                for hit in self.hits
            ],
        }
