"""Which contexts a build is asked for: options, stages, and what is refused before anything is read."""

import re
from pathlib import Path

import pytest

from kotovec.cluster.contexts.sampling import Sampling
from kotovec.cluster.corpus import Corpus
from kotovec.cluster.request import OF_CONTEXTS, Request
from kotovec.errors import InputError

CORPUS = ("a.txt",)


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({}, [("static,isolated", "last")]),
        ({"corpus": CORPUS}, [("static,isolated", "last"), ("context", "last")]),
        ({"corpus": CORPUS, "layers": "0,1"}, [("static,isolated", "0,1"), ("context", "0,1")]),
        ({"corpus": CORPUS, "spaces": "context"}, [("context", "last")]),
        ({"corpus": CORPUS, "spaces": "static,isolated@2,context@0,context@6"},
         [("static,isolated", "2"), ("context", "0,6")]),
        ({"contexts_from": Path("x.kotovec")}, [("static,isolated", "last"), ("context", "last")]),
        ({"template": "the {}"}, [("static,template", "last")]),
        ({"template": "the {}", "spaces": "static,output,isolated,template", "layers": "all"},
         [("static,output,isolated", "all"), ("template", "all")]),
        ({"template": "the {}", "corpus": CORPUS}, [("static,template", "last"), ("context", "last")]),
        ({"spaces": "output"}, [("output", "last")]),
    ],
)  # fmt: skip
def test_each_kind_of_hidden_states_is_a_stage(options, stages):
    found = Request(**options).stages
    assert [(stage.spaces, stage.layers) for stage in found] == stages
    for stage in found:
        assert stage.stages == (stage,)
        assert (stage.sampling is None) == ("context" not in stage.spaces)
        assert (stage.template is None) == ("template" not in stage.spaces)


def test_what_the_options_say_is_what_is_sampled():
    assert Request(corpus=CORPUS).sampling == Sampling(Corpus(CORPUS), limit=30, fraction=1.0, seed=0, keep_text=False)
    every = {"corpus_field": "body", "split": "line", "min_chars": 3, "max_chars": 99, "contexts": 7}
    drawn = {"fraction": 0.5, "seed": 3, "keep_text": True}
    sampling = Request(corpus=CORPUS, **every, **drawn).sampling
    assert sampling == Sampling(Corpus(CORPUS, "body", "line", 3, 99), 7, **drawn)
    assert sampling.settings == {
        "contexts": 7, "seed": 3, "fraction": 0.5, "split": "line", "min-chars": 3, "max-chars": 99,
        "corpus": ["a.txt"], "corpus-field": "body",
    }  # fmt: skip
    other = Request(contexts_from=Path("x.kotovec"), keep_text=True).sampling
    assert other == Sampling(Path("x.kotovec"), keep_text=True)


@pytest.mark.parametrize("name", [name for name in OF_CONTEXTS if name != "contexts_from"])
def test_an_option_of_a_corpus_needs_one(name):
    value = {"keep_text": True, "fraction": 0.5}.get(name, "line" if name in ("split", "corpus_field") else 5)
    with pytest.raises(InputError) as refused:
        Request(**{name: value}).check()
    option = f"--{name.replace('_', '-')}"
    other = ", or a store with --contexts-from" if name in ("keep_text", "prototypes") else ""
    assert str(refused.value) == f"{option} is of a corpus, and none is given"
    assert refused.value.hint == f"name it with --corpus{other}"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"corpus": CORPUS, "spaces": "static"}, "--corpus makes the space `context`",
         "name it in --spaces, or leave out --corpus"),
        ({"contexts_from": Path("x"), "spaces": "static"}, "--contexts-from makes the space `context`",
         "name it in --spaces, or leave out --contexts-from"),
        ({"spaces": "context"}, "the space `context` needs sentences",
         "give sentences with --corpus, or take those of a store with --contexts-from"),
        ({"contexts_from": Path("x"), "corpus": CORPUS},
         "--corpus draws sentences, and --contexts-from takes those of another store", "leave out one of them"),
        ({"contexts_from": Path("x"), "seed": 3},
         "--seed draws sentences, and --contexts-from takes those of another store", "leave out one of them"),
        ({"corpus": CORPUS, "contexts": 0}, "--contexts is 0", "use 1 to 1,000"),
        ({"corpus": CORPUS, "contexts": 1001}, "--contexts is 1001", "use 1 to 1,000"),
        ({"corpus": CORPUS, "fraction": 0.0}, "--fraction is 0", "use a part of 1, such as 0.1"),
        ({"corpus": CORPUS, "fraction": 1.5}, "--fraction is 1.5", "use a part of 1, such as 0.1"),
        ({"corpus": CORPUS, "fraction": float("nan")}, "--fraction is nan", "use a part of 1, such as 0.1"),
        ({"corpus": CORPUS, "seed": -1}, "--seed is -1", "use 0 or more, below 2^64"),
        ({"corpus": CORPUS, "layers": "0", "spaces": "context@1"}, "--spaces and --layers both name layers",
         "name them in one of the two"),
    ],
)  # fmt: skip
def test_what_cannot_be_sampled_is_refused(options, message, hint):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        Request(**options).check()
    assert (str(refused.value), refused.value.hint) == (message, hint)
