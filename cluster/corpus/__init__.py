"""Corpora: files of texts, cut into sentences."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Corpus:
    """What is read, and how it is cut."""

    paths: tuple[str, ...]
    field: str | None = None
    split: str = "sentence"
    min_chars: int = 8
    max_chars: int = 512
