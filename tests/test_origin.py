"""The hint about a space that a store does not hold prints a command that adds it, or says that no model has it."""

import json
import shlex
import shutil

import pytest

import kotovec
from kotovec.errors import NotStoredError

from commands import call


@pytest.fixture(scope="module")
def built(tiny_models, tmp_path_factory):
    """Return a function that builds a store of a tiny BERT of 2 layers, each once."""
    folder, paths = tmp_path_factory.mktemp("origin"), {}

    def build(name, **options):
        if name not in paths:
            paths[name] = folder / f"{name}.kotovec"
            kotovec.build(str(tiny_models["bert"]), paths[name], workers=0, device="cpu", **options).close()
        return paths[name]

    return build


CASES = {
    "tables": {"spaces": "static"},
    "last": {},
    "small": {"dtype": "bfloat16", "store_dtype": "float16", "token_filter": "word,subword"},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layer", [1, 0])
def test_the_command_that_is_printed_adds_the_layer(name, layer, built, capsys):
    store = built(f"{name}-{layer}", **CASES[name])
    answer = call(capsys, "query", "king", "--store", store, "--space", f"isolated@{layer}")
    assert answer.code == 2
    command = answer.err.split("add it with `")[1].split("`")[0]
    assert f"--layers {layer}" in command
    assert call(capsys, *shlex.split(command)[1:], "--workers", "0", "--device", "cpu", "-q").code == 0
    with kotovec.open(store) as opened:
        assert f"isolated@{layer}" in map(str, opened.spaces)
        assert "static" in map(str, opened.spaces)
        assert ("isolated@2" in map(str, opened.spaces)) == (name != "tables")


@pytest.mark.parametrize(
    ("named", "end"),
    [
        ("BertModel", "; BertModel has no output matrix"),
        ("T5EncoderModel", "; T5EncoderModel has no output matrix"),
        ("BertForSequenceClassification", "; BertForSequenceClassification has no output matrix"),
        ("BertForMaskedLM", ", or add it with `kotovec build MODEL --store STORE --spaces output`"),
        ("GPT2LMHeadModel", ", or add it with `kotovec build MODEL --store STORE --spaces output`"),
        ("GPT2DoubleHeadsModel", ", or add it with `kotovec build MODEL --store STORE --spaces output`"),
        ("DebertaV2ForCausalLM", ", or add it with `kotovec build MODEL --store STORE --spaces output`"),
        (None, ", or add it with `kotovec build MODEL --store STORE --spaces output`"),
    ],
)
def test_the_output_is_offered_where_the_model_may_have_one(named, end, tiny_models, tmp_path, capsys):
    """The command that was offered for a BertModel ended in `BertModel gives no logits`."""
    model = shutil.copytree(tiny_models["bert"], tmp_path / "model")
    store = tmp_path / "x.kotovec"
    kotovec.build(str(model), store, spaces="static").close()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"architectures": named and [named]}))
    answer = call(capsys, "query", "king", "--store", store, "--space", "output")
    assert answer.code == 2
    hint = f"hint: choose `static`{end}\n".replace("MODEL", str(model)).replace("STORE", str(store))
    assert answer.err.endswith(hint)


def test_where_the_models_folder_is_gone_the_output_may_be_there(tiny_models, tmp_path, capsys):
    model = shutil.copytree(tiny_models["bert"], tmp_path / "model")
    store = tmp_path / "x.kotovec"
    kotovec.build(str(model), store, spaces="static").close()
    shutil.rmtree(model)
    assert "--spaces output`" in call(capsys, "query", "king", "--store", store, "--space", "output").err


@pytest.mark.parametrize("name", ["tables", "last"])
def test_a_layer_that_the_model_has_not_is_added_by_no_command(name, built, tiny_models):
    with kotovec.open(built(name, **CASES[name])) as store, pytest.raises(NotStoredError) as caught:
        store.search("king", space="isolated@99")
    held = {"tables": "choose `static`", "last": "choose one of these"}
    assert caught.value.hint == f"{held[name]}; the model has the layers 0 to 2"


def test_the_shell_says_the_same_of_its_layer(built, capsys, monkeypatch, tiny_models):
    import io

    store = built("tables", **CASES["tables"])
    monkeypatch.setattr("sys.stdin", io.StringIO(":layer 1\n:layer 99\n"))
    answer = call(capsys, "shell", "--store", store)
    assert "--spaces static,isolated --overwrite --layers 1`" in answer.err
    assert answer.err.endswith("hint: choose `static`; the model has the layers 0 to 2\n")


def test_a_build_of_the_last_layer_is_named_without_a_layer(built, capsys, tiny_models):
    store = built("tables", **CASES["tables"])
    answer = call(capsys, "query", "king", "--store", store, "--space", "isolated")
    model = tiny_models["bert"]
    command = f"kotovec build {model} --store {store} --spaces static,isolated --overwrite"
    assert answer.err.endswith(f"hint: choose `static`, or add it with `{command}`\n")


def test_next_of_a_list_of_words_is_no_audit(tiny_models, tmp_path):
    from kotovec.cli.next import commands

    path = tmp_path / "words.kotovec"
    kotovec.build(str(tiny_models["bert"]), path, workers=0, device="cpu", words=["king", "queen", "man"]).close()
    assert [line.split()[1] for line in commands(path)][:2] == ["query", "shell"]
    assert not any("audit" in line for line in commands(path))


def test_info_names_a_folder_and_rows_without_a_token_once(built, capsys, tiny_models, tmp_path):
    store = built("last")
    lines = call(capsys, "info", "--store", store).out.splitlines()
    assert [line.split()[1:] for line in lines if line.startswith(" model ")] == [[str(tiny_models["bert"])]]
    model = shutil.copytree(tiny_models["bert"], tmp_path / "bert")
    vocabulary = json.loads((model / "tokenizer.json").read_text())
    last = max(vocabulary["model"]["vocab"], key=vocabulary["model"]["vocab"].get)
    del vocabulary["model"]["vocab"][last]
    (model / "tokenizer.json").write_text(json.dumps(vocabulary))
    for file in ("vocab.txt",):
        (model / file).unlink(missing_ok=True)
    path = tmp_path / "x.kotovec"
    kotovec.build(str(model), path, spaces="static").close()
    shown = call(capsys, "info", "--store", path).out
    assert shown.count("without a token") == 1
    assert "and 1 row without a token, as #id" in shown
    assert "left out" not in shown
