"""Ray: plan a build, start or join a cluster, schedule shards, survive lost workers, assemble the store."""

from pathlib import Path

from kotovec.errors import InputError, quoted
from kotovec.workers.address import parse

DEFAULT_MODEL = "tohoku-nlp/bert-base-japanese-whole-word-masking"  # the model of the article


def default_store(model: str) -> Path:
    """Return the default folder of a model's store, `NAME.kotovec`: NAME is the last part of the model's name.

    Raises:
        InputError: the model's name has no last part, such as `/`.
    """
    if not Path(model).exists() and (address := parse(model)) is not None:
        model = address.repository
    path = Path(model)
    name = path.resolve().name if path.name in ("", "..") else path.name
    if not name:
        raise InputError(f"{quoted(model)} gives a store no name", hint="name the folder of the store")
    return Path(f"{name}.kotovec")
