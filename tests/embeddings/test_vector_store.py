"""Vectors are found again: exactly, the likest first, whatever was added or removed before."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_memory.embeddings.vector_store import VectorStore
from agent_memory.errors import ConfigError, EncodingError, InvalidEntry


def _filled(count: int = 500, dim: int = 8) -> tuple[VectorStore, dict[str, Any]]:
    random = np.random.default_rng(1)
    vectors = {
        f"v{place:04d}": vector for place, vector in enumerate(random.normal(size=(count, dim)))
    }
    store = VectorStore(dim)
    store.add(list(vectors), np.array(list(vectors.values())))
    return store, vectors


def _exact(vectors: dict[str, Any], query: Any, k: int) -> list[str]:
    def cosine(name: str) -> float:
        vector = vectors[name]
        return float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query))

    return sorted(vectors, key=lambda name: (-cosine(name), name))[:k]


def test_the_likest_come_first_with_their_cosine() -> None:
    store, vectors = _filled()
    query = np.random.default_rng(2).normal(size=8)
    hits = store.search(query, 20)
    assert [name for name, _ in hits] == _exact(vectors, query, 20)
    best = vectors[hits[0][0]]
    cosine = best @ query / np.linalg.norm(best) / np.linalg.norm(query)
    assert hits[0][1] == pytest.approx(cosine, abs=1e-6)
    assert store.search([0, 1, 0, 0, 0, 0, 0, 0])[0][1] <= 1.0


def test_removed_ones_are_gone_and_the_rest_stay_right() -> None:
    store, vectors = _filled()
    gone = list(vectors)[::3]
    store.remove([*gone, "never there"])
    for name in gone:
        del vectors[name]
    assert len(store) == len(vectors)
    query = np.ones(8)
    assert [name for name, _ in store.search(query, 50)] == _exact(vectors, query, 50)
    store.remove(list(vectors))
    assert len(store) == 0
    assert store.search(query) == []


def test_equal_ones_come_by_id_wherever_they_lie() -> None:
    random = np.random.default_rng(5)
    for dim, count in ((33, 101), (384, 1003), (7, 17)):
        store = VectorStore(dim)
        vector = random.normal(size=dim)
        names = [f"{place:04d}" for place in range(count)]
        shuffled = random.permutation(names[3:]).tolist()
        # The last rows of a product of matrices are summed in another order than the others.
        store.add([*shuffled, *names[:3]], np.outer(2.0 ** random.integers(-3, 4, count), vector))
        for query in (vector, *random.normal(size=(5, dim))):
            assert [name for name, _ in store.search(query, 7)] == names[:7]
            assert [name for name, _ in store.search(query, count)] == names


def test_adding_an_id_again_replaces_it() -> None:
    store = VectorStore(2)
    store.add(["a", "b", "a"], [[1, 0], [1, 1], [0, 1]])
    assert len(store) == 2
    assert store.search([0, 1], 1) == [("a", 1.0)]
    store.add(["a"], [[1, 0]])
    assert store.search([1, 0], 1) == [("a", 1.0)]


def test_only_those_asked_about_are_looked_at() -> None:
    store, vectors = _filled()
    query = np.ones(8)
    among = [*list(vectors)[10:90:4], "never there"]
    wanted = {name: vectors[name] for name in among if name in vectors}
    assert [name for name, _ in store.search(query, 5, among)] == _exact(wanted, query, 5)
    assert store.search(query, 5, []) == []
    assert len(store.search(query, 50, iter(among))) == len(wanted)


def test_zeros_and_extreme_numbers_have_a_similarity() -> None:
    store = VectorStore(2)
    store.add(["zero", "huge", "tiny"], [[0, 0], [1e300, 1e300], [5e-324, 0]])
    assert dict(store.search([1, 0], 3)) == pytest.approx(
        {"tiny": 1.0, "huge": math.sqrt(0.5), "zero": 0.0}
    )
    assert {value for _, value in store.search([0, 0], 3)} == {0.0}


@pytest.mark.parametrize("vector", [[1.0], [1.0] * 9, [], [[1.0] * 8], [math.nan] * 8, ["x"] * 8,
                                    [math.inf] * 8, None, 3])  # fmt: skip
def test_a_query_that_is_no_vector_of_that_width_is_refused(vector: Any) -> None:
    store, _ = _filled(20)
    with pytest.raises(InvalidEntry):
        store.search(vector)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_a_k_that_is_not_above_zero_is_refused(k: Any) -> None:
    store, _ = _filled(20)
    with pytest.raises(InvalidEntry):
        store.search(np.ones(8), k)


@pytest.mark.parametrize("dim", [0, -3, 2.0, True])
def test_a_width_that_is_not_above_zero_is_refused(dim: Any) -> None:
    with pytest.raises(InvalidEntry):
        VectorStore(dim)


def test_what_cannot_be_added_leaves_everything_as_it_was() -> None:
    store, _ = _filled(3)
    before = store.search(np.ones(8))
    bad: list[tuple[Any, Any]] = [
        (["x"], np.ones((1, 7))), (["x", "y"], np.ones((1, 8))), (["x", 4], np.ones((2, 8))),
        (["x"], [[math.nan] * 8]), ("x", np.ones((1, 8))), (["x"], np.ones(8)),
    ]  # fmt: skip
    for ids, vectors in bad:
        with pytest.raises(InvalidEntry):
            store.add(ids, vectors)
    assert store.search(np.ones(8)) == before
    store.add([], [])
    assert len(store) == 3


def test_saved_and_loaded_it_finds_the_same(tmp_path: Path) -> None:
    store, _ = _filled()
    store.remove(["v0003"])
    store.save(tmp_path / "vectors")
    loaded = VectorStore(8).load(tmp_path / "vectors")
    query = np.random.default_rng(4).normal(size=8)
    found, wanted = loaded.search(query, 30), store.search(query, 30)
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert dict(found) == pytest.approx(dict(wanted), abs=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]
    loaded.add(["new"], query[None])
    assert loaded.search(query, 1)[0][0] == "new"


def test_a_file_that_is_damaged_or_not_there_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store, _ = _filled(20)
    before = store.search(np.ones(8))
    path = tmp_path / "vectors"
    store.save(path)
    raw = path.read_bytes()
    for damaged in (b"", raw[:5], raw[:40], raw[:-1], raw[:100] + b"?" + raw[101:], b"\x80\x04."):
        path.write_bytes(damaged)
        with pytest.raises(EncodingError):
            store.load(path)
    heads: list[object] = [
        *({"dim": 8}, {"dim": 8, "ids": ["a"]}, {"dim": 8, "ids": [[]]}, {"dim": 8, "ids": 9}, [])
    ]
    for head in heads:
        path.write_bytes(_forged(raw, head))
        with pytest.raises(EncodingError):
            store.load(path)
    with pytest.raises(ConfigError):
        store.load(tmp_path / "nowhere")
    assert store.search(np.ones(8)) == before


def test_a_file_of_another_width_is_a_configuration_error(tmp_path: Path) -> None:
    store, _ = _filled(20)
    store.save(tmp_path / "vectors")
    with pytest.raises(ConfigError, match="9"):
        VectorStore(9).load(tmp_path / "vectors")


def _forged(raw: bytes, head: object) -> bytes:
    """The file with another head and a checksum that fits it."""
    text = json.dumps(head).encode()
    length = int.from_bytes(raw[8:12], "little")
    forged = raw[:8] + len(text).to_bytes(4, "little") + text + raw[12 + length : -32]
    return forged + hashlib.sha256(forged).digest()
