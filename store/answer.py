"""What a search returns: plain data, ready for a table, JSON, a notebook or pandas."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kotovec.errors import MissingDependencyError
from kotovec.space import Space
from kotovec.store.metric import Metric
from kotovec.store.nearest import Neighbourhood
from kotovec.store.question import Question
from kotovec.store.terms import ResolvedTerm
from kotovec.store.tokens import Tokens
from kotovec.text import distinct, doubled, escaped

if TYPE_CHECKING:
    from kotovec.store.ranking import Rank

COLUMNS = ("rank", "token", "text", "id", "score", "is_input")


@dataclass(frozen=True)
class Hit:
    """One row of an answer.

    Attributes:
        rank: the position in the answer, from 1.
        token: the token as a person reads it.
        text: the token as the vocabulary spells it.
        id: the token id.
        score: the squared L2 distance, cosine or inner product, float64.
        is_input: whether the token is one of those that the expression is made of.
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
        expression: the expression as kotovec understood it.
        space, metric: the space and the metric of the search.
        terms: the terms of the expression, each with the tokens that it stands for.
        notes: what a person should know: means of subwords, forms of a word, an approximate index.
        results: the nearest tokens, best first; equal scores are ordered by token id.
        ranks: the ranks of targets, where any were named.
        store: what the store is called, where several were asked.
    """

    expression: str
    space: Space
    metric: str
    terms: tuple[ResolvedTerm, ...]
    notes: tuple[str, ...]
    results: tuple[Hit, ...]
    ranks: "tuple[Rank, ...]" = ()
    store: str | None = None

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The results, by the name that they had in kotovec 0.1."""
        return self.results

    @property
    def layer(self) -> int | None:
        """The layer of the space, or None if it has none."""
        return self.space.layer

    @property
    def heading(self) -> str:
        """The space for a person, after the store where several were asked: `bert isolated, layer 12`."""
        return self.space.title if self.store is None else f"{self.store} {self.space.title}"

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready data; the keys are stable.

        `ranks` is there where targets were named, and `store` where several were asked.
        """
        store = {} if self.store is None else {"store": self.store}
        ranks = {"ranks": [rank.as_dict() for rank in self.ranks]} if self.ranks else {}
        return {
            "expression": self.expression,
            **store,
            "space": str(self.space),
            "layer": self.layer,
            "metric": self.metric,
            "terms": [{"text": term.text, "weight": term.weight, "tokens": list(term.tokens)} for term in self.terms],
            "notes": list(self.notes),
            "results": [dict(vars(hit)) for hit in self.results],
            **ranks,
        }

    def to_pandas(self) -> Any:
        """Return the results as a pandas DataFrame, one row each, with the fields of `Hit` as columns.

        Its `attrs` record the search: `expression`, `space`, `metric`.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("to_pandas needs pandas", hint="install it: pip install pandas") from error
        frame = pd.DataFrame([dict(vars(hit)) for hit in self.results], columns=list(COLUMNS))
        frame.attrs |= {"expression": self.expression, "space": str(self.space), "metric": self.metric}
        return frame

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows; tokens are escaped, as a vocabulary may hold `<script>`."""
        from html import escape

        def row(tag: str, *cells: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{escape(escaped(cell))}</{tag}>' for cell in cells)}</tr>"

        scores = distinct([hit.score for hit in self.results])
        body = "".join(
            row("td", str(hit.rank), doubled(hit.token, hit.text), str(hit.id), score, "input" if hit.is_input else "")
            for hit, score in zip(self.results, scores, strict=True)
        )
        caption = escape(escaped(f"{doubled(self.expression)} ({self.space.title})"))
        head = row("th", "rank", "token", "id", Metric(self.metric).label, "input")
        notes = "".join(f"<p>{escape(escaped(note))}</p>" for note in self.notes)
        return f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>{notes}"


def compose(
    question: Question, found: Neighbourhood, tokens: Tokens, space: Space, metric: str, more: tuple[str, ...] = ()
) -> Answer:
    """Return the answer to a question, given the rows that were found."""
    inputs = {row for term in question.terms for row in term.rows}
    columns = zip(
        tokens.surfaces.at(found.rows),
        tokens.texts.at(found.rows),
        tokens.ids[found.rows].tolist(),
        found.scores.tolist(),
        found.rows.tolist(),
        strict=True,
    )
    return Answer(
        expression=question.text,
        space=space,
        metric=metric,
        terms=question.terms,
        notes=(*question.notes(space), *more),
        results=tuple(
            Hit(rank=rank, token=token, text=text, id=token_id, score=score, is_input=row in inputs)
            for rank, (token, text, token_id, score, row) in enumerate(columns, start=1)
        ),
    )
