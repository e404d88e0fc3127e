"""The names that people give a model of the Hub, and what the Hub answers to them."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.utils import hf_raise_for_status

from kotovec.cluster import default_store
from kotovec.errors import RESUME, InputError, ModelNotFoundError
from kotovec.workers.address import Address, parse
from kotovec.workers.source import resolve

from test_source import COMMIT, assert_refused, hub_of, resolve_with_hub

NAMES = {
    "gpt2": ("gpt2", None),
    "owner/name": ("owner/name", None),
    "owner/name/": ("owner/name", None),
    "owner/name@v1": ("owner/name", "v1"),
    "owner/name@refs/pr/1": ("owner/name", "refs/pr/1"),
    "owner/name.git": ("owner/name", None),
    "hf:owner/name": ("owner/name", None),
    "hf://owner/name@v1": ("owner/name", "v1"),
    "hf://models/owner/name": ("owner/name", None),
    "huggingface://owner/name": ("owner/name", None),
    "huggingface.co/owner/name": ("owner/name", None),
    "hf.co/owner/name": ("owner/name", None),
    "https://huggingface.co/gpt2": ("gpt2", None),
    "https://huggingface.co/owner/name": ("owner/name", None),
    "http://www.huggingface.co/owner/name/": ("owner/name", None),
    "https://huggingface.co/owner/name/tree/main": ("owner/name", "main"),
    "https://huggingface.co/owner/name/tree/refs%2Fpr%2F1": ("owner/name", "refs/pr/1"),
    "https://huggingface.co/owner/name/blob/v1/config.json": ("owner/name", "v1"),
    "https://huggingface.co/owner/name/resolve/main/model.safetensors?download=true": ("owner/name", "main"),
    "https://huggingface.co/gpt2/blob/main/config.json": ("gpt2", "main"),
    "https://huggingface.co/owner/name?library=transformers#usage": ("owner/name", None),
    "https://huggingface.co/owner/name/discussions/3": ("owner/name", None),
    "https://huggingface.co/owner/name.git": ("owner/name", None),
    "https://user:hf_secret@huggingface.co/owner/name": ("owner/name", None),
    "https://hf-mirror.com/owner/name": ("owner/name", None),
    "https://huggingface.co/api/models/owner/name": ("owner/name", None),
    "git@hf.co:owner/name.git": ("owner/name", None),
    "ssh://git@hf.co/owner/name": ("owner/name", None),
}
NO_NAMES = (
    "https://huggingface.co/datasets/owner/name",
    "https://huggingface.co/spaces/owner/name",
    "https://huggingface.co/",
    "https://github.com/owner/name",
    "s3://bucket/model",
    "owner/name@",
    "owner/name@a b",
    "a/b/c",
    "../name",
    "hf:../name",
    "owner/na me",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_hub_in_any_form(name):
    assert parse(name) == Address(*NAMES[name])
    assert default_store(name).stem == NAMES[name][0].rpartition("/")[2]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_of_the_hub(name):
    assert parse(name) is None
    with pytest.raises(ModelNotFoundError):
        resolve(name or "/nowhere/at all")


def test_an_endpoint_of_ones_own_is_a_host(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:8000")
    assert parse("http://127.0.0.1:8000/owner/name/tree/v1") == Address("owner/name", "v1")


def test_an_address_elsewhere_is_told_what_to_do():
    with pytest.raises(
        ModelNotFoundError, match=r"neither a folder nor an id .*\nhint: download it, and give its folder$"
    ):
        resolve("https://github.com/owner/name")


def test_a_folder_wins_over_a_name_of_the_hub(tmp_path, tiny_models, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("owner/name@v1", "gpt2"):
        shutil.copytree(tiny_models["bert"], name)
    for name in ("owner/name@v1", "owner/name@v1/", "gpt2", "~/gpt2", "~/gpt2/", f"file://{tmp_path}/gpt2"):
        assert resolve(name).repository is None
    assert default_store("owner/name@v1/").name == "name@v1.kotovec"


def test_a_user_that_the_machine_does_not_know_is_no_traceback():
    with pytest.raises(ModelNotFoundError, match="neither a folder nor an id on the Hub"):
        resolve("~nobody-of-this-name/model")


def test_two_revisions_are_refused():
    with pytest.raises(ModelNotFoundError, match="names another revision than --revision v2\nhint: name one"):
        resolve("owner/name@v1", "v2")


# ---- downloads

BARE = "tester/tiny has no weights: neither model.safetensors nor pytorch_model.bin is in tester/tiny"


def downloaded(hub):
    part = f"/tester/tiny/resolve/{COMMIT}/"
    return sorted(line.partition(part)[2] for line in hub.asked if line.startswith(f"GET {part}"))


def test_an_address_with_a_revision_is_downloaded(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"]) as hub:
        found = resolve_with_hub(hub.endpoint, tmp_path, f"{hub.endpoint}/tester/tiny/blob/v1/config.json")
        assert found["repository"] == "tester/tiny", found
        assert "GET /api/models/tester/tiny/revision/v1" in hub.asked
        assert downloaded(hub) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize("name", ["bert-bin", "bert-sharded"])
def test_variants_are_neither_taken_for_the_weights_nor_downloaded(name, tmp_path, tiny_models):
    extra = ("model.fp16.safetensors", "pytorch_model.fp16.bin", "model_quantized.safetensors", "model-q4.safetensors")
    with hub_of(tiny_models[name], extra) as hub:
        found = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert "folder" in found, found
        assert downloaded(hub) == sorted(path.name for path in tiny_models[name].iterdir())


def test_the_files_of_other_tokenizers_are_downloaded(tmp_path, tiny_models):
    """PhoBERT's bpe.codes and ProphetNet's prophetnet.tokenizer end as no other vocabulary does."""
    with hub_of(tiny_models["bert"], ("bpe.codes", "prophetnet.tokenizer", "vocab.txt", "README.md")) as hub:
        resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert {"bpe.codes", "prophetnet.tokenizer", "vocab.txt"} < set(downloaded(hub))
        assert "README.md" not in downloaded(hub)


@pytest.mark.parametrize(("name", "top"), [("bert", b'{"__version__": "0.3.8"}'), ("bert-sharded", None)])
def test_the_old_layout_of_sentence_transformers_is_downloaded(name, top, tmp_path, tiny_models):
    files = {f"0_Transformer/{path.name}": path.read_bytes() for path in tiny_models[name].iterdir()}
    with hub_of(tiny_models[name], ("1_Pooling/config.json", "0_Transformer/onnx/model.onnx")) as hub:
        hub.files = {file: content for file, content in hub.files.items() if "/" in file} | files
        hub.files |= {"modules.json": b"[]"} | ({} if top is None else {"config.json": top})
        found = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert (Path(found["folder"]).name, found["revision"]) == ("0_Transformer", COMMIT), found
        assert {file for file in downloaded(hub) if "/" in file} == set(files)
    assert resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")["folder"] == found["folder"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["m.Q4_K_M.gguf"], "tester/tiny holds a GGUF file (m.Q4_K_M.gguf), which kotovec does not read"),
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "tester/tiny holds an adapter alone (adapter_config.json)",
        ),
        (["config.json", "onnx/model.onnx"], f"{BARE}, only an ONNX model"),
        (["config.json", "model.fp16.safetensors"], f"{BARE}, only the variant model.fp16.safetensors"),
        (["small/config.json", "small/model.safetensors"], "tester/tiny is not a model: it holds no config.json"),
    ],
)
def test_a_repository_that_is_no_model_is_refused_before_a_byte_is_downloaded(names, message, monkeypatch):
    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(InputError) as caught:
        resolve("tester/tiny")
    assert str(caught.value).startswith(message)
    assert caught.value.hint


# ---- answers

LOGIN = "run `hf auth login`"
LOCAL = "or choose `demo` or a local folder as MODEL"
HOME = "set HF_HOME to a folder that this user can write to"
GONE = "there is no folder tester/tiny, it is not in the cache, and the Hub"


def answer(status, **headers):
    """Return the client's error about an answer of the Hub."""
    import httpx2

    request = httpx2.Request("GET", "https://huggingface.co/api/models/tester/tiny")
    try:
        hf_raise_for_status(httpx2.Response(status, headers=headers, request=request))
    except huggingface_hub.errors.HfHubHTTPError as error:
        return error


def refused_with(monkeypatch, error, *, while_downloading=False, token=None):
    """Return the error's line and hint where the client raises an error."""

    def fail(*_, **options):
        if options.get("local_files_only"):
            raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache")
        raise error

    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in ("config.json", "model.safetensors")])
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", (lambda *_, **__: info) if while_downloading else fail)
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("tester/tiny")
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize("while_downloading", [False, True])
@pytest.mark.parametrize(
    ("error", "token", "message", "hint"),
    [
        (answer(401), "hf_x", "the Hub refuses the saved token, and gives no tester/tiny (401)", f"renew it: {LOGIN}"),
        (
            answer(401),
            None,
            "there is no folder tester/tiny, and no such model on the Hub",
            f"{LOGIN} first if the model is private",
        ),
        (
            answer(429),
            None,
            f"{GONE} gets too many requests from here (429)",
            f"wait some minutes, or {LOGIN}, which raises the limit",
        ),
        (answer(429), "hf_x", f"{GONE} gets too many requests from here (429)", "wait some minutes"),
        (
            answer(403, **{"X-Error-Code": "GatedRepo"}),
            "hf_x",
            "tester/tiny is gated",
            f"accept its terms on the Hub, then {LOGIN}",
        ),
    ],
)
def test_a_refusal_is_told_as_what_it_is(error, token, message, hint, while_downloading, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if while_downloading:  # as the client wraps it after its retries
        wrapped = huggingface_hub.errors.LocalEntryNotFoundError("please check your connection")
        wrapped.__cause__ = error
        error = wrapped
    assert refused_with(monkeypatch, error, while_downloading=while_downloading, token=token) == (message, hint)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            answer(403, **{"X-Error-Message": "No access"}),
            "the Hub forbids tester/tiny (403, `No access`)",
            f"{LOGIN} with a token that may read it",
        ),
        (
            answer(403, **{"X-Error-Message": "Access to this resource is disabled."}),
            "tester/tiny is disabled on the Hub",
            "choose another model",
        ),
        (answer(502), f"{GONE} is failing (502)", f"try again later, {LOCAL}"),
        (answer(418), f"{GONE} does not give it (418)", f"try again later, {LOCAL}"),
        (
            huggingface_hub.errors.OfflineModeIsEnabled("x"),
            f"{GONE} is not asked, as HF_HUB_OFFLINE is set",
            f"unset HF_HUB_OFFLINE, {LOCAL}",
        ),
        (
            PermissionError(13, "Permission denied", "/home/x/token"),
            "tester/tiny cannot be downloaded (/home/x/token: Permission denied)",
            HOME,
        ),
    ],
)
def test_what_keeps_the_hub_from_answering_is_named(error, message, hint, monkeypatch):
    assert refused_with(monkeypatch, error) == (message, hint)


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (
            OSError(28, "No space left on device", "/cache/blobs/a"),
            "the disk of the cache is full",
            "free some space, or set HF_HOME to a folder on another disk",
        ),
        (OSError(30, "Read-only file system", "/cache/blobs"), "/cache/blobs: Read-only file system", HOME),
        (
            answer(503),
            "Server error '503 Service Unavailable' for url 'https://huggingface.co/api/models/tester/tiny'",
            RESUME,
        ),
    ],
)
def test_a_download_that_ends_early_says_why(error, reason, hint, monkeypatch):
    found = refused_with(monkeypatch, error, while_downloading=True)
    assert found == (f"tester/tiny did not download completely ({reason})", hint)


def test_an_expired_token_is_named_with_its_variable(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"], refusals={"/api/models/": (401, None)}) as hub:
        found = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny", HF_TOKEN="hf_expired")
    assert_refused(found, r"the Hub refuses HF_TOKEN, .*\(401\)\nhint: set HF_TOKEN to a valid token, or unset it$")


def test_a_model_in_the_cache_needs_no_answer(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"]) as hub:
        first = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        hub.refusals = {"/api/": (429, None)}
        later = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
    assert later["folder"] == first["folder"]


def test_a_model_that_was_renamed_is_found_under_its_old_name(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"]) as hub:
        hub.renamed = "old/name"
        found = resolve_with_hub(hub.endpoint, tmp_path, "old/name")
        assert found.get("revision") == COMMIT, found
    assert sorted(os.listdir(found["folder"])) == sorted(path.name for path in tiny_models["bert"].iterdir())


def test_a_page_in_place_of_an_answer_is_no_model(tmp_path, tiny_models):
    """The portal of a hotel's network answers everything with its own page."""
    with hub_of(tiny_models["bert"]) as hub:
        hub.page = b"<html>Welcome to our network</html>"
        answer = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
    assert_refused(answer, r"the Hub is out of reach \(.+\)\nhint: restore the network")


def test_weights_in_parts_come_under_the_names_in_their_index(tmp_path, tiny_models):
    with hub_of(tiny_models["bert-sharded"]) as hub:
        index = json.loads(hub.files["model.safetensors.index.json"])
        parts = sorted(set(index["weight_map"].values()))
        other = {part: f"weights.{number}.safetensors" for number, part in enumerate(parts)}
        index["weight_map"] = {name: other[part] for name, part in index["weight_map"].items()}
        for old, new in other.items():
            hub.files[new] = hub.files.pop(old)
        hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
        hub.files["stray.safetensors"] = b"unused"
        found = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert "folder" in found, found
        assert "stray.safetensors" not in downloaded(hub)
        assert set(other.values()) <= set(downloaded(hub))
