"""Models of strangers: no file is read but those that are hashed, none of its numbers is absurd, one line says so."""

import json
import os
import shutil

import pytest

from kotovec.cluster.plan import parse_layers
from kotovec.errors import ModelError, ModelNotFoundError, UnknownTokenError
from kotovec.panics import panics_as
from kotovec.store import Store
from kotovec.store.tokens import LONGEST
from kotovec.workers import json_files
from kotovec.workers.source import hash_weights, resolve
from kotovec.workers.tokenizer import find_template

from commands import call, make_store, start
from models import bert_vocabulary, make_bert
from rays import plan_of, run_build

# A word splitter with pieces of length 0, on which tokenizers panics at the first text.
PANICS = {"type": "FixedLength", "length": 0}
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30)); "


@pytest.fixture
def model(tmp_path, tiny_models):
    return shutil.copytree(tiny_models["bert"], tmp_path / "model")


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(model) -> str:
    with pytest.raises(ModelError) as caught:
        plan_of(model)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.hint
    return str(caught.value)


# ---- files


def test_the_weights_that_are_hashed_are_those_that_are_read(model):
    (model / "other.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    change(model / "config.json", transformers_weights="other.safetensors")
    assert refusal(model) == (
        f"{model}/config.json names other weights (`other.safetensors`), and only model.safetensors is read"
    )
    change(model / "config.json", transformers_weights="model.safetensors")
    assert plan_of(model).settings["weights"] == hash_weights(resolve(str(model)))


@pytest.mark.parametrize("name", ["../other.safetensors", "{}/other.safetensors", "parts/other.safetensors", "..", 7])
def test_an_index_of_weights_names_files_of_its_folder(tmp_path, model, name):
    (model / "parts").mkdir()
    for folder in (tmp_path, model / "parts"):
        shutil.copy(model / "model.safetensors", folder / "other.safetensors")
    (model / "model.safetensors").unlink()
    name = name.format(tmp_path) if isinstance(name, str) else name
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": name}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert refusal(model) == (f"{model}/model.safetensors.index.json names `{name}`, which is no file of the model")


def test_weights_in_parts_are_read_by_their_index(tmp_path):
    folder = make_bert(tmp_path / "model", shard_size="40KB")
    parts = [path.name for path in resolve(str(folder)).weights()]
    assert len(parts) > 1
    assert all(name.startswith("model-0000") for name in parts)


def test_an_adapter_is_not_loaded_beside_its_model(model):
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "other"}))
    assert refusal(model) == f"{model} holds an adapter (adapter_config.json)"


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("tokenizer_config.json", "vocab_file"),
        ("tokenizer_config.json", "spm_file"),
        ("config.json", "sudachi_config_path"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_outside_of_the_folder_is_not_opened(tmp_path, model, file, key, nested):
    other = tmp_path / "vocab.txt"
    other.write_text("\n".join(reversed(bert_vocabulary())))
    named = {key: str(other)}
    change(model / file, **({"sudachi_kwargs": named} if nested else named))
    assert refusal(model) == f"{model}/{file} names what is not the model's ({key} `{other}`)"


@pytest.mark.parametrize("key", ["vocab_file", "tokenizer_file", "special_tokens_map_file", "name_or_path"])
def test_paths_that_an_author_left_behind_change_nothing(model, key):
    before = plan_of(model).settings["tokens"]
    change(model / "tokenizer_config.json", **{key: "/home/author/.cache/nothing-here"})
    assert plan_of(model).settings["tokens"] == before


def test_another_tokenizer_that_a_config_names_is_not_read(tmp_path, model):
    before = plan_of(model).tokens
    other = json.loads((model / "tokenizer.json").read_text())
    vocabulary = other["model"]["vocab"]
    other["model"]["vocab"] = {f"x{text}" if len(text) > 5 else text: number for text, number in vocabulary.items()}
    (tmp_path / "tokenizer.json").write_text(json.dumps(other))
    change(model / "tokenizer_config.json", tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert list(plan_of(model).tokens.texts) == list(before.texts)


@pytest.mark.parametrize("option", ["-d /tmp/dic", "-r rc", "-o out", "-u u.dic", "-p", "-l 1 -d x", "--dicdir=x", "x"])
def test_options_of_mecab_name_no_dictionary_and_no_output(tmp_path, tiny_models, option):
    folder = shutil.copytree(tiny_models["japanese-v3"], tmp_path / "model")
    change(folder / "tokenizer_config.json", mecab_kwargs={"mecab_dic": "unidic_lite", "mecab_option": option})
    assert refusal(folder) == (
        f"{folder}/tokenizer_config.json names what is not the model's (mecab_option `{option}`)"
    )


def test_code_of_the_hub_is_not_fetched_for_attention(model):
    change(model / "config.json", attn_implementation="somebody/kernel")
    assert "names what is not the model's (attn_implementation `somebody/kernel`)" in refusal(model)


# ---- numbers and JSON


@pytest.mark.parametrize(
    "claimed",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": -1},
        {"num_hidden_layers": 2.5},
        {"num_hidden_layers": "2"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},  # of 32 dimensions
        {"hidden_size": 0},
        {"hidden_size": 10**9},
        {"vocab_size": 10**12},
        {"vocab_size": True},
    ],
)
def test_a_number_that_no_model_has_is_one_line(model, claimed):
    change(model / "config.json", **claimed)
    ((name, value),) = claimed.items()
    assert refusal(model) == (f"{model}/config.json claims {name} {value!r}, which no model has")


def test_a_number_of_layers_inside_another_config_counts(model):
    change(model / "config.json", model_type="modernbert", text_config={"num_hidden_layers": 10**9})
    assert "claims num_hidden_layers 1000000000" in refusal(model)


def test_embeddings_that_no_weights_hold_take_no_memory(model):
    change(model / "config.json", vocab_size=2**30)
    size = (model / "model.safetensors").stat().st_size
    assert refusal(model) == (
        f"{model}/config.json claims 1,073,741,824 × 32 embeddings, and the weights have {size:,} bytes: "
        "they are cut short, or of another model"
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a":' * 10**5 + "1" + "}" * 10**5, "is nested too deeply"),
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
    ],
)
def test_json_that_is_none_is_one_line(model, name, content, reason):
    (model / name).write_text(content)
    if name.startswith("model"):
        (model / "model.safetensors").unlink()
    assert f"{model}/{name} {reason}" in refusal(model)


def test_a_config_that_is_too_large_is_not_read(model, monkeypatch):
    monkeypatch.setattr(json_files, "MOST_JSON", 10)
    (model / "tokenizer_config.json").unlink()
    (model / "tokenizer_config.json").touch()
    os.truncate(model / "tokenizer_config.json", 3 << 30)
    assert "tokenizer_config.json is not a file of at most" in refusal(model)


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "added_tokens.json", "spiece.model"])
def test_a_sparse_file_beside_the_weights_is_not_read(model, name):
    (model / name).unlink(missing_ok=True)
    (model / name).touch()
    os.truncate(model / name, 75 << 30)
    assert refusal(model) == f"{model}/{name} has more than 1 GiB"


@pytest.mark.parametrize(("text", "layers"), [("all", (0, 1, 2)), ("last", (2,)), ("-1", (2,))])
def test_layers_of_a_model_are_as_before(text, layers):
    assert parse_layers(text, 2) == layers


# ---- tokenizers


def damage(path) -> None:
    tokenizer = json.loads(path.read_text())
    tokenizer["pre_tokenizer"] = PANICS
    path.write_text(json.dumps(tokenizer))


def test_a_panic_while_planning_is_one_line(model):
    damage(model / "tokenizer.json")
    change(model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    done = start("build", model, "--dry-run", timeout=100)
    assert done.returncode in (0, 2)
    assert len(done.stderr.splitlines()) == (2 if done.returncode else 0), done.stderr


def test_a_panic_in_the_plan_is_an_error_of_the_model(capfd, model):
    from tokenizers import Tokenizer

    damage(model / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    with pytest.raises(ModelError, match=r"tokenizer is damaged \(chunk size must be non-zero\)"):
        find_template(lambda text, **_: tokenizer.encode(text))
    assert capfd.readouterr().err == ""


def test_a_panic_while_asking_is_one_line_and_the_next_question_is_answered(tmp_path):
    store = make_store(tmp_path / "s.kotovec")
    damage(store / "tokenizer" / "tokenizer.json")
    (tmp_path / "lines").write_text("kings\nking\n")
    asked = start("query", "kings", "--store", store)
    assert (asked.returncode, asked.stdout, len(asked.stderr.splitlines())) == (2, "", 1)
    assert f"{store}/tokenizer holds a damaged tokenizer (chunk size must be non-zero)" in asked.stderr
    file = start("query", "--file", tmp_path / "lines", "--store", store)
    first, second = map(json.loads, file.stdout.splitlines())
    assert "holds a damaged tokenizer" in first["error"]
    assert second["results"][0]["token"] == "king"
    assert file.stderr.splitlines() == ["error: 1 of 2 lines could not be answered; each says why"]
    shell = start("shell", "--store", store, "--json", input="kings\nking\n")
    assert json.loads(shell.stdout)["results"][0]["token"] == "king"
    assert shell.stderr == asked.stderr


def test_a_tokenizer_that_lacks_its_token_for_the_unknown_is_one_line(tmp_path):
    """The library raises a bare Exception, which ended --file and the shell."""
    store = make_store(tmp_path / "s.kotovec")
    path = store / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["unk_token"] = "[NONE]"
    path.write_text(json.dumps(content))
    shell = start("shell", "--store", store, "--json", input="\u2603\nking\n")
    assert json.loads(shell.stdout)["results"][0]["token"] == "king"
    problem, hint = (
        "`\u2603` is not in the vocabulary, nor made of its tokens",
        "see what there is with `kotovec tokens`",
    )
    assert (shell.returncode, shell.stderr) == (2, f"error: {problem}\nhint: {hint}\n")


def test_what_others_write_to_stderr_is_held_back_and_not_lost(capfd):
    with panics_as(ValueError):
        os.write(2, b"a warning\n")
    assert capfd.readouterr().err == "a warning\n"
    with pytest.raises(KeyError), panics_as(ValueError):
        os.write(2, b"another\n")
        raise KeyError
    assert capfd.readouterr().err == "another\n"


@pytest.mark.parametrize("what", ["pipe", "device"])
@pytest.mark.parametrize(
    "name",
    [
        "tokens.txt",
        "vocab.txt",
        "vocab.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "tokenizer.json",
        "generation_config.json",
        "chat_template.jinja",
        "additional_chat_templates/x.jinja",
        "config.json",
        "README",
    ],
)
def test_a_pipe_or_a_device_in_the_folder_of_a_model_is_not_waited_for(tmp_path, model, name, what):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(model / name)
    else:
        (model / name).symlink_to("/dev/zero")  # only ever read, and without an end
    if name == "config.json":
        with pytest.raises(ModelNotFoundError, match=r"is not a model: its config\.json is a pipe or a device"):
            resolve(str(model))
        return
    assert refusal(model) == f"{model}/{name} is a pipe or a device"


def test_a_link_to_nothing_in_the_folder_of_a_model_is_no_file(model):
    before = plan_of(model).settings["tokenizer"]
    (model / "tokens.txt").symlink_to("nothing")
    assert plan_of(model).settings["tokenizer"] == before


@pytest.mark.parametrize("parts", [[1], "x", 7])
def test_parts_of_a_tokenizer_that_are_none_are_one_line(tmp_path, model, parts):
    change(model / "tokenizer_config.json", mecab_kwargs=parts)
    assert refusal(model).endswith("is damaged (mecab_kwargs is no object)")
    store = make_store(tmp_path / "s.kotovec")
    (store / "tokenizer" / "tokenizer.json").unlink()
    config = {"word_tokenizer_type": "mecab", "mecab_kwargs": parts, "added_tokens_decoder": {}}
    (store / "tokenizer" / "vocab.txt").write_text("[UNK]\n")
    for changed in (config, config | {"added_tokens_decoder": parts}):
        (store / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(changed))
        with pytest.raises(UnknownTokenError, match="holds a damaged tokenizer"):
            Store.open(store).search("kings")


@pytest.mark.parametrize("content", ["[" * 10**5, "[]", "null"])
def test_a_tokenizer_config_that_is_none_is_no_tokenizer(tmp_path, content):
    store = make_store(tmp_path / "s.kotovec")
    (store / "tokenizer" / "tokenizer.json").unlink()
    (store / "tokenizer" / "tokenizer_config.json").write_text(content)
    with pytest.raises(UnknownTokenError, match="holds no tokenizer, so only whole tokens can be looked up"):
        Store.open(store).search("kings")


@pytest.mark.parametrize("option", ["-d /tmp/dic", "-o out", "-p"])
def test_a_tokenizer_of_a_store_gives_mecab_no_options_that_name_files(tmp_path, option):
    store = make_store(tmp_path / "s.kotovec")
    (store / "tokenizer" / "tokenizer.json").unlink()
    config = {"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": "ipadic", "mecab_option": option}}
    (store / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    (store / "tokenizer" / "vocab.txt").write_text("[UNK]\n")
    with pytest.raises(UnknownTokenError, match="the tokenizer gives MeCab the options"):
        Store.open(store).search("kings")


def test_a_token_of_300_kb_is_cut(capsys, tmp_path):
    long = "x" * 300_000
    folder = make_bert(tmp_path / "model", vocabulary=[*bert_vocabulary(), long])
    store = tmp_path / "s.kotovec"
    run_build(plan_of(folder), store, 0)
    with Store.open(store) as opened:
        assert max(len(text) for text in opened.tokens.texts.encoded()) == LONGEST
        assert opened.tokens.texts[len(opened) - 1].startswith("x" * 4000)
    assert (store / "tokens.h5").stat().st_size < 100_000
    assert call(capsys, "info", "--store", store).code == 0
