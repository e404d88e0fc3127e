"""A dry run says what the store will take."""

import json

import pytest

import models
from commands import call


@pytest.mark.parametrize("options", [(), ("--layers", "all", "--store-dtype", "float16")], ids=["last", "all"])
def test_a_dry_run_prints_the_size_of_the_store_within_one_percent(capsys, tmp_path, options):
    """1,536 MB were printed, and 1,583 taken: norms, the table of tokens and the tokenizer were not counted."""
    words = [f"{first}{second}{third}" for first in "abcdefghijkl" for second in models.KANJI for third in models.KANJI]
    vocabulary = [*models.bert_vocabulary(), *words]
    model = models.make_bert(tmp_path / "model", vocabulary=vocabulary, hidden_size=32)
    store = tmp_path / "a.kotovec"
    arguments = ("build", model, "--store", store, "--workers", 0, *options)
    told = json.loads(call(capsys, *arguments, "--dry-run", "--json").out)
    assert not store.exists()
    assert call(capsys, *arguments, "--quiet").code == 0
    taken = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    assert told["store_bytes"] == pytest.approx(taken, rel=0.01)
    assert told["store_bytes"] > 1.1 * (told["vector_bytes"] + told["index_bytes"])
    assert f"{told['store_bytes'] / 1e6:,.1f} MB (" in call(capsys, *arguments, "--overwrite", "--dry-run").out
