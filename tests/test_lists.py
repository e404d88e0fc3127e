"""Lists in options: their commas may be those of an input method, as digits may be of full width."""

import json

import pytest

from kotovec.cli.complete import listed
from kotovec.cluster.request import parse_layers
from kotovec.errors import InputError
from kotovec.space import Space, parse_spaces
from kotovec.store import Store
from kotovec.store.scripts import parse_scripts
from kotovec.text import parts

from commands import call, make_store

COMMAS = [",", "、", "，", "､", " ， "]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("lists") / "words.kotovec")


def test_parts_are_without_the_spaces_around_them():
    assert parts("a, b、　c，d､e") == ["a", "b", "c", "d", "e"]
    assert parts("ー・a") == ["ー・a"]
    assert parts("") == [""]


@pytest.mark.parametrize("comma", COMMAS)
def test_lists_are_read_alike(comma):
    assert parse_spaces(f"static{comma}isolated@2") == (Space("static"), Space("isolated", 2))
    assert parse_scripts(f"Han{comma}Hiragana") == {"Han", "Hiragana"}
    assert parse_layers(f"0{comma}１{comma}12", 12) == (0, 1, 12)


@pytest.mark.parametrize("comma", COMMAS[1:])
@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "king", "-k", "3", "--space", "static,isolated@0"],
        ["query", "王", "-k", "3", "--script", "Han,Latin"],
        ["tokens", "--kind", "word,subword"],
        ["tokens", "--columns", "id,token,norm"],
        ["tokens", "--script", "Han,Hiragana"],
        ["audit", "--reference", "#1,2,4"],
        ["coverage", "--charset", "joyo,jinmei"],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)
def test_an_option_takes_the_commas_of_an_input_method(capsys, store, arguments, comma):
    plain = call(capsys, *arguments, "--store", store, "--json")
    typed = call(capsys, *(part.replace(",", comma) for part in arguments), "--store", store, "--json")
    assert plain.code == 0, plain.err
    assert typed == plain


def test_an_index_takes_them_between_its_parameters(capsys, store):
    answers = [
        json.loads(
            call(capsys, "index", "--store", store, "--factory", "IVF2,Flat", "--parameters", given, "--json").out
        )
        for given in ("nprobe=2,max_codes=9", "nprobe=2、max_codes=9")
    ]
    assert [answer["parameters"] for answer in answers] == ["nprobe=2,max_codes=9"] * 2


def test_the_shell_takes_them(capsys, store, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(":space static、isolated@0\n:script Han，Latin\n:show\n"))
    answer = call(capsys, "shell", "--store", store)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[0] == "space static、isolated@0"
    assert "script Han,Latin" in answer.out.splitlines()


def test_one_space_is_not_two(store):
    with Store.open(store) as opened, pytest.raises(InputError, match="is not one space"):
        opened.search("king", space="static、isolated@0")


def test_a_build_takes_them(capsys, tiny_models, tmp_path):
    options = ["--workers", "0", "--device", "cpu", "-q", "--store", tmp_path / "x.kotovec"]
    lists = ["--layers", "0、1", "--token-filter", "word，subword", "--spaces", "static、isolated"]
    assert call(capsys, "build", tiny_models["bert"], *lists, *options).code == 0
    with Store.open(tmp_path / "x.kotovec") as opened:
        assert [str(space) for space in opened.spaces] == ["static", "isolated@0", "isolated@1"]
        assert set(opened.tokens.kinds.tolist()) <= {0, 1}


def test_the_last_part_is_completed():
    assert listed(["Han", "Hiragana", "Latin"], "Han、Hi") == ["Han、Hiragana"]
    assert listed(["Han", "Hiragana"], "Han，") == ["Han，Hiragana"]
