"""Ray: plan a build, start or join a cluster, schedule shards, survive lost workers, assemble the store."""

from pathlib import Path

from kotovec.workers.address import parse

DEFAULT_MODEL = "tohoku-nlp/bert-base-japanese-whole-word-masking"  # the model of the article


def default_name(model: str) -> str:
    """Return the last part of a model's name, its store's default name; empty if it has none, such as `/`."""
    if not Path(model).exists() and (address := parse(model)) is not None:
        model = address.repository
    return Path(model).name or Path(model).resolve().name
