"""How much long texts have in common is exact as long as all of their pieces are kept."""

from __future__ import annotations

import random

import pytest

from agent_memory.embeddings.comparable import comparable
from agent_memory.embeddings.distance import distances
from agent_memory.embeddings.feature_table import FeatureTable
from agent_memory.embeddings.scales import scales_of
from agent_memory.embeddings.sketches import MOST, SHORT

ROOTS, ENDINGS = ("sand", "rain", "bar", "trad"), ("er", "en", "ing")
WORDS = [root + ending for root in ROOTS for ending in ENDINGS]


def texts(words: int) -> list[str]:
    """Texts of so many words, each of which has some in common with the one before."""
    rng = random.Random(words)
    found = [[f"{rng.choice(WORDS)}{rng.randrange(words)}" for _ in range(words)]]
    for _ in range(40):
        kept = found[-1].copy()
        for _ in range(rng.randrange(1, words)):
            kept[rng.randrange(words)] = f"{rng.choice(WORDS)}{rng.randrange(words)}"
        found.append(kept)
    return [" ".join(one) for one in found]


def pieces(text: str) -> set[str]:
    return {text[at : at + 4] for at in range(len(text) - 3)}


def measured(all_texts: list[str]) -> list[float]:
    """The shares that the first text and all others do not have in common, as distances tell."""
    states = [comparable({"text": text}) for text in all_texts]
    table = FeatureTable()
    table.add([state.values for state in states])
    scales = scales_of(table)
    whole = float(scales.step[table.tokens["text"]])
    found = distances(table, scales, states[0]).distance
    return [float(distance) ** 2 / whole for distance in found]


@pytest.mark.parametrize(("words", "error"), [(8, 1e-9), (60, 1e-9), (600, 0.06)])
def test_the_share_of_pieces_in_common_is_that_of_the_texts(words: int, error: float) -> None:
    written = texts(words)
    assert min(map(len, written)) > SHORT
    assert (max(len(pieces(text)) for text in written) > MOST) is (words == 600)
    exact = [
        1.0 - len(pieces(written[0]) & pieces(text)) / len(pieces(written[0]) | pieces(text))
        for text in written
    ]
    assert measured(written)[1:] == pytest.approx(exact[1:], abs=error)


def test_texts_of_the_same_pieces_differ_all_the_same() -> None:
    one = "to and fro " * 20
    same, other, short = measured([one, one + "to and fro ", "to and fro"])
    assert same == 0.0
    assert 0.0 < other < 0.01
    assert short == pytest.approx(1.0)
