"""The command line under test: a small store to ask, and its commands in this process or in one of their own."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import kotovec
from kotovec.cli.app import run
from kotovec.store.tokens import Marking

import stores

ROOT = Path(__file__).parents[1]
MAIN = "from kotovec.cli.entry import main; main()"  # what the console script does

# An expression: the most memory that a process took, in KB. `ru_maxrss` also counts its parent's, from before its exec.
PEAK_KB = "int(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"

# Three directions (royal, female, young) and noise: enough for the article's arithmetic to come out.
WORDS = {
    "king": (3, 0, 0),
    "queen": (3, 3, 0),
    "man": (0, 0, 0),
    "woman": (0, 3, 0),
    "boy": (0, 0, 3),
    "girl": (0, 3, 3),
    "prince": (3, 0, 3),
    "princess": (3, 3, 3),
    "王": (3.1, 0.1, 0),
    "女王": (3.1, 3.1, 0),
    "男": (0.1, 0.1, 0),
    "女": (0.1, 3.1, 0),
    "子": (0, 1.5, 3.1),
}
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
ODD = ("[bold]x[/bold]", "\x1b[31mred", "a\tb", "zero\u200bwidth", "")
TEXTS = [*SPECIALS[:1], "[unused0]", *SPECIALS[1:], *WORDS, "##s", "##王", *ODD]
DIMENSIONS = 8
PROVENANCE = {
    "model": "none/of-these",
    "model_folder": "",
    "revision": "abc",
    "weights_sha256": "0" * 64,
    "tokens_sha256": "1" * 64,
    "template_prefix": np.array([3]),
    "template_suffix": np.array([4]),
    "dtype": "float32",
    "device": "cpu",
    "mecab_dic": "ipadic",
    "mecab_assumed": True,
    "rows_without_token": 0,
    "tokens_without_row": 2,
    "token_filter": "",
    "notices": "the notice of a build",
    "versions": '{"kotovec": "0.1.0"}',
    "command": "kotovec build none/of-these",
    "started": "2026-01-01T00:00:00+00:00",
    "finished": "2026-01-01T00:00:09+00:00",
}


def static_vectors() -> np.ndarray:
    """Return (V, 8) float32: noise, and for the words their three directions."""
    vectors = np.random.default_rng(1).normal(0, 0.05, size=(len(TEXTS), DIMENSIONS))
    vectors[:, 3] += 2.0  # nothing lies at the origin
    for text, directions in WORDS.items():
        vectors[TEXTS.index(text), :3] += directions
    vectors[[TEXTS.index(text) for text in TEXTS if text not in WORDS], 4] += 6.0  # far from every word
    return vectors.astype(np.float32)


def isolated_vectors() -> np.ndarray:
    """Return (2, V, 8) float32, layers 0 and 2: the static ones with their axes turned, and scaled."""
    static = static_vectors()
    return np.stack([static[:, ::-1] * 2, np.roll(static, 1, axis=1) * 5])


def make_store(folder: Path, **options: object) -> Path:
    """Write the store of TEXTS with layers 0 and 2, a WordPiece tokenizer and indexes for l2."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {text: number for number, text in enumerate(TEXTS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    settings = {"layers": (0, 2), "metrics": ["l2"], "tokenizer": tokenizer, "provenance": PROVENANCE} | options
    tokens = stores.make_tokens(TEXTS, special=SPECIALS)
    return stores.write_store(folder, tokens, static_vectors(), isolated_vectors(), **settings)


def make_metaspace_store(folder: Path) -> Path:
    """Write a store whose vocabulary has `▁king` beside `king`, and `▁queen` alone."""
    tokens = stores.make_tokens(["<unk>", "king", "▁king", "▁queen"], unknown="<unk>", marking=Marking.METASPACE)
    return stores.write_store(folder, tokens, np.eye(4), provenance=PROVENANCE)


def call(capsys, *arguments: object) -> SimpleNamespace:
    """Run a command in this process; return its `code`, `out` and `err`."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return SimpleNamespace(code=code, out=out, err=err)


def nearest(capsys, store: Path, expression: str, *options: object) -> list[tuple[str, float]]:
    """Return the tokens that `kotovec query` gives, and their cosines to four digits."""
    arguments = ["query", expression, "--metric", "cosine", "--exclude-inputs", "--json", *options, "--store", store]
    hits = json.loads(call(capsys, *arguments).out)["results"]
    return [(hit["token"], round(hit["score"], 4)) for hit in hits]


def without_steps(err: str) -> str:
    """Return what a command writes to stderr without the lines of its steps, which a busy machine makes it write."""
    return re.sub(r"(?m)^(?!note|error|hint)\w[\w ]*: .*\d s\n", "", err)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that finds the kotovec under test: installed, or this checkout's."""
    checkout = {"PYTHONPATH": str(ROOT)} if Path(kotovec.__file__).is_relative_to(ROOT / "kotovec") else {}
    return {**os.environ, **checkout, **more}


def start(*arguments: object, python: tuple[str, ...] = (), prepare: str = "", **options: object):
    """Run a command in a process of its own, from its first import on; return the finished process."""
    variables = environment(**options.pop("environment", {}))
    command = [sys.executable, *python, "-c", prepare + MAIN, *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "timeout": 120, "check": False} | options
    return subprocess.run(command, env=variables, **settings)


def on_terminal(command: list[str], columns: int, *, named: bool = True, **more: str) -> SimpleNamespace:
    """Run a command on a terminal; return its `code` and `out`, which has the end of a line that was drawn anew.

    Args:
        command: the command.
        columns: columns of the terminal.
        named: whether COLUMNS says so, or the terminal itself does (`stty cols`).
        more: variables of its environment.
    """
    master, slave = pty.openpty()
    variables = {name: value for name, value in environment(TERM="xterm", **more).items() if name != "COLUMNS"}
    if named:
        variables["COLUMNS"] = str(columns)
    else:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    seen = b""
    with subprocess.Popen(command, env=variables, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        with contextlib.suppress(OSError):  # Linux' end of a terminal
            while part := os.read(master, 65536):
                seen += part
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    return SimpleNamespace(code=process.returncode, out=text.replace("\r\n", "\n"))
