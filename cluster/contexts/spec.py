"""What decides a sample, and with it whether an interrupted scan can be resumed."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kotovec.cluster.contexts.sampling import cutting, drawing
from kotovec.cluster.contexts.scan import Scanner
from kotovec.cluster.corpus import Corpus
from kotovec.cluster.corpus.files import PIECE_BYTES

RULES = 2  # of splitting, normalising, hashing and matching: increased when a sentence would become another one


@dataclass(frozen=True, eq=False)
class ScanSpec:
    """A sample with everything decided.

    Attributes:
        corpus: what is read, and how it is cut into sentences.
        scanner: what finds the items in it: also the number of contexts of each, the random seed and the fraction.
        identity: identity of the V items.
        tokenizer: SHA-256 of the tokenizer's files.
        keep_text: whether the sentences are kept beside their token ids.
        piece_bytes: most bytes of a piece; decides no byte of the sample.
    """

    corpus: Corpus
    scanner: Scanner
    identity: str
    tokenizer: str = ""
    keep_text: bool = False
    piece_bytes: int = PIECE_BYTES

    @property
    def cutting(self) -> dict[str, Any]:
        """How the corpus is cut, and which of its sentences are taken: what another model's sample must agree in."""
        return cutting(self.corpus, self.scanner.seed, self.scanner.fraction)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the sample but the contents of the corpus, JSON-ready."""
        return {
            **drawing(self.corpus, self.scanner.limit, self.scanner.seed, self.scanner.fraction),
            "rows": self.scanner.rows,
            "identity": self.identity,
            "tokenizer": self.tokenizer,
            "keep-text": self.keep_text,
            "rules": RULES,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings."""
        return fingerprint_of(self.settings)


def fingerprint_of(value: Any) -> str:
    """Return the SHA-256 of a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
