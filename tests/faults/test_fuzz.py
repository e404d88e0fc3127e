"""Fuzzing of everything that reads a store: whatever is in its files, there is a result or an error of kotovec's.

FUZZ_INPUTS says how many: 800 unless it is set, 10,000 in a long run of some three minutes.
"""

import pytest

from mutants import FILES, INPUTS, KINDS, Readers, make_stores, mutate, tally

LARGE = 2**40 + 7
# Most of them go to the files that HDF5 reads.
SHARES = [kind for kind in KINDS for _ in range(2 if FILES[kind].endswith(".h5") else 1)]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    source, work = (tmp_path_factory.mktemp(name) for name in ("source", "work"))
    make_stores(source)
    return Readers(source, work)


def test_random_damage_gives_an_error_of_kotovecs_or_is_found_by_verify_or_changes_no_answer(readers):
    """HDF5 and faiss are C: reading damaged files they may hang, crash, or ask for 2^62 bytes."""
    inputs = [(SHARES[number % len(SHARES)], str(number)) for number in range(INPUTS)]
    outcomes = readers.read(inputs)
    counts, improper = tally(outcomes)
    assert improper == []
    assert counts.total() == INPUTS
    # Most of the damage was noticed: the inputs were really damaged, and really read.
    assert counts["refused"] > 0.3 * INPUTS
    assert counts["found"] > 0.2 * INPUTS
    assert counts["whole"] < 0.2 * INPUTS


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_no_number_in_an_index_is_taken_at_its_word(readers, kind):
    """faiss allocated what a damaged size said, and returned rows such as 2^40 out of 25 from a damaged list of ids."""
    size = (readers.source / "store" / FILES[kind]).stat().st_size
    # Sizes stand in the first bytes, or anywhere in those of HNSW and IVF.
    places = range(0, min(size, 60) if kind == "flat" else size, 4 if INPUTS >= 10_000 else 12)
    counts, improper = tally(readers.read((kind, f"{place}={LARGE}") for place in places))
    assert improper == []
    assert counts == {"found": len(places)}


def test_mutations_differ_from_number_to_number_and_are_the_same_again():
    """What is reported as `tokens 17` can be looked at."""
    whole, other = bytes(range(256)) * 16, bytes(4096)
    mutants = [mutate(whole, other, "tokens", str(number)) for number in range(200)]
    assert mutants == [mutate(whole, other, "tokens", str(number)) for number in range(200)]
    assert len(set(mutants)) > 170  # cuts, and copies onto themselves, may meet
    assert {len(mutant) < 4096 for mutant in mutants} == {True, False}
