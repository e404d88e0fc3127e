"""The sections of a report about what a store says of itself: its contexts, and the norms of its kinds of tokens."""

import json
import shlex
from collections.abc import Sequence

import numpy as np

from kotovec.cli.report_content import Cell, Section, Table
from kotovec.cli.report_spaces import Held, Texts
from kotovec.store import Kind
from kotovec.text import argument

# No command prints them for all spaces.
MEDIANS = (
    "import kotovec, numpy; from kotovec.store import Kind; store = kotovec.open({path}); "
    "print(*[(str(space), kind.label, int(chosen.sum()), float(numpy.median(norms[chosen]))) "
    "for space in store.spaces for norms in [store.norms(space)] for kind in Kind "
    "for chosen in [(store.tokens.kinds == kind) & (norms > 0)] if chosen.any()])"
)


def known_section(held: Sequence[Held], words: Texts) -> Section:
    """Return the section about contexts: self-similarity beside random pairs, reliability, and how many there are."""
    rows: list[list[Cell]] = []
    lines, commands = [], []
    for each in held:
        contexts = each.store.info().get("contexts", {})
        if not contexts:
            lines.append(words["context_missing"].format(store=each.title))
            continue
        commands.append(f"kotovec info --store {argument(str(each.path))}")
        if not all("self_similarity" in about for about in contexts.values()):
            lines.append(words["spread_missing"].format(store=each.title))
        for space, about in contexts.items():
            measures = [about.get(name) for name in ("self_similarity", "random_similarity", "reliability")]
            counts = [len(each.store) - about["none"], about["contexts"], about["vectors"]]
            rows.append([f"{each.title} {space}", *measures, *counts])
    keys = ("space", "self", "random", "reliability", "with_context", "contexts", "vectors")
    tables = [Table(words["context"], [words[key] for key in keys], rows)] if rows else []
    return Section(
        "context", words["context"], [*([words["context_note"]] if rows else []), *lines], tables, (), commands
    )


def norm_section(held: Sequence[Held], words: Texts) -> Section:
    """Return the section about norms: the median of each kind of token in every space."""
    rows: list[list[Cell]] = []
    for each in held:
        for space in each.spaces:
            norms = np.asarray(each.store.norms(space))
            for kind in Kind:
                chosen = (each.store.tokens.kinds == kind) & (norms > 0)
                if chosen.any():
                    rows.append([each.named(space), kind.label, int(chosen.sum()), float(np.median(norms[chosen]))])
    names = [words[key] for key in ("space", "kind", "tokens", "median")]
    commands = [f"python -c {shlex.quote(MEDIANS.format(path=json.dumps(str(each.path))))}" for each in held]
    table = Table(words["norms"], names, rows, (0, 1))
    return Section("norms", words["norms"], [words["norms_note"]], [table], (), commands)
