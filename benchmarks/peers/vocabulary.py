"""What the peers share: a model's vocabulary from its vocab.txt, and the line in which each reports what it took."""

import argparse
import json
import sys
from pathlib import Path


def model_folder(description: str | None) -> Path:
    """Return the model's folder, the one argument of most peers."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a BERT with a vocab.txt")
    folder: Path = parser.parse_args().model
    return folder


def texts(folder: Path) -> list[str]:
    """Return the tokens as the vocabulary spells them, in the order of their ids."""
    return (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")


def sequences(folder: Path) -> list[list[int]]:
    """Return `[CLS] token [SEP]` as three ids for every token."""
    tokens = texts(folder)
    start, end = tokens.index("[CLS]"), tokens.index("[SEP]")
    return [[start, number, end] for number in range(len(tokens))]


def tell(tokens: int, seconds: float, **more: object) -> None:
    """Print how many tokens were encoded, and the seconds of their encoding alone, as a line of JSON."""
    sys.stdout.write(json.dumps({"tokens": tokens, "encode_seconds": seconds, **more}) + "\n")
