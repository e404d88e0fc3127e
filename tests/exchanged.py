"""Texts that a store may hold and a file of vectors may not, and stores of them."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.exchange.exporting import Exported, export_vectors
from kotovec.store.tokens import Marking

import stores

HOSTILE = [
    *(
        "new york",
        " a",
        "a ",
        "a  b",
        "\u00a0",
        "a\u00a0b",
        "\t",
        "a\tb",
        '"',
        'a"b',
        "'",
        "a\nb",
        "\n",
        "a\rb",
        "\r\n",
    ),
    *("", "␀", "a␀b", "nan", "inf", "-1.5", "3 2", "\\", "\\n", "\\e", "\\u0041", "a\\", "␣", "new␣york", "new_york"),
    *(
        "\ufeff",
        "\ufeffword",
        "\u2028",
        "\x85",
        "\x0b",
        "\x0c",
        "\x1b[31mred",
        "e\u0301",
        "é",
        "王",
        "𠮷",
        "\U000e0100",
    ),
    *("#", "</s>", "<unk>", ",", "1,5", "\x1c", "\u3000", "çİĭ", "Ġking", "##s", "▁king", "x" * 4096),
    # Bytes that are no character of their own, and NUL, as vocabularies of bytes spell them.
    *("<0x00>", "<0xE3>", "<0xFF>", "Ā", "ã", "ÿ", "\ufffd", "\u200b", "\u202e", "# 3 2", "__label__", "王" * 1365),
]
# Numbers whose text has few digits, many, an exponent, and a sign without a value.
NUMBERS = [0.0, -0.0, 1.0, 0.1, -1 / 3, 1e-45, 3.4028235e38, 1.17549435e-38, 16777216.0, 1e16, -1e-7, 123456.79]
# What a table of tokens holds as it is: no NUL, no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)


def make_vectors(rows: int, dimensions: int = 5) -> np.ndarray:
    """Return (rows, dimensions) float32, with numbers that are hard to write among them."""
    vectors = np.random.default_rng(rows).standard_normal((rows, dimensions)).astype(np.float32)
    flat = vectors.reshape(-1)
    flat[: len(NUMBERS)] = np.array(NUMBERS, dtype=np.float32)[: flat.size]
    return vectors


def write_texts(folder: Path, texts: list[str], dimensions: int = 5) -> np.ndarray:
    """Write a store of some texts; return its vectors."""
    vectors = make_vectors(len(texts), dimensions)
    tokens = stores.make_tokens(texts, marking=Marking.NONE)
    stores.write_store(folder, tokens, vectors)
    return vectors


def contents(folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the words of an imported store and their vectors."""
    with Store.open(folder, verify=True) as store:
        assert [str(space) for space in store.spaces] == ["imported"]
        return list(store.tokens.texts), np.array(store.vectors.array(store.spaces[0]))


def export(store: Path, file: Path, **options: object) -> Exported:
    """Export the static vectors of a store."""
    with Store.open(store) as opened:
        return export_vectors(opened, Space("static"), file, **options)


def same(vectors: np.ndarray, others: np.ndarray) -> bool:
    """Return whether numbers are the same to the last bit, also where they are -0.0."""
    return vectors.dtype == others.dtype and vectors.shape == others.shape and vectors.tobytes() == others.tobytes()
