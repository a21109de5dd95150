"""No number leaves its bound, in whatever form it is coded and however far from zero it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agent_memory.compression.fitted.code import ContentsCode
from agent_memory.compression.fitted.lanes_decoding import decode_many
from agent_memory.compression.fitted.lanes_encoding import encode_many
from agent_memory.compression.fitted.wide import FEWEST
from agent_memory.compression.fitting.fit import fit_code
from agent_memory.errors import EncodingError

RANGE = 10.0
LEARNED = np.linspace(0.0, RANGE, 257)
# No multiple of the cells, so that some lie nearly halfway between two of them.
CODED = np.linspace(0.0, RANGE, 601)

Kind = Callable[[float], Any]
Contents = Sequence[dict[str, Any]]
Form = Callable[[ContentsCode, Contents, int], list[bytes | None]]


def one_at_a_time(code: ContentsCode, contents: Contents, level: int) -> list[bytes | None]:
    return [code.encode(one, 0, level) for one in contents]


def many_at_once(code: ContentsCode, contents: Contents, level: int) -> list[bytes | None]:
    return encode_many(code, contents, [0] * len(contents), level)


def narrow(values: Sequence[Any]) -> Contents:
    return [{"x": value} for value in values]


def wide(values: Sequence[Any]) -> Contents:
    """Entries of so many numbers that those of each are coded in one go."""
    return [{f"x{place}": value for place in range(FEWEST)} for value in values]


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("begin", "kind"),
    [(0.0, float), (-5.0, float), (1e6, float), (1e14, float), (3e14, float), (1e15, float),
     (3e14, np.float64), (0.0, np.float32), (5e4, np.float32)],
)  # fmt: skip
@pytest.mark.parametrize(
    ("form", "shape"),
    [(one_at_a_time, narrow), (many_at_once, narrow), (one_at_a_time, wide), (many_at_once, wide)],
)
def test_no_number_leaves_its_bound(
    form: Form, shape: Callable[[Sequence[Any]], Contents], begin: float, kind: Kind, level: int
) -> None:
    code = fit_code(shape([kind(begin + value) for value in LEARNED]))
    contents = shape([kind(begin + value) for value in CODED])
    (bound,) = {*code.bounds(0, level).values()}
    assert bound == pytest.approx(RANGE / (1_000 if level == 1 else 100), rel=0.5)
    reported = [one for one in form(code, contents, level) if one is not None]
    assert len(reported) == len(contents)
    for one, decoded in zip(
        contents, decode_many(code, reported, [0] * len(reported)), strict=True
    ):
        assert not isinstance(decoded, EncodingError)
        off = np.subtract([*one.values()], [*decoded[0].values()], dtype=np.float64)
        assert np.abs(off).max() <= bound


@pytest.mark.parametrize("odd", [[1e300], [-1e300, 1e300], [99_999.0, 99_999.0]])
@pytest.mark.parametrize("level", [1, 2])
def test_a_few_outliers_loosen_no_bound(odd: list[float], level: int) -> None:
    """One value of a broken sensor made 1 % of the range more than all that was ever measured."""
    measured = LEARNED.tolist()
    code = fit_code(narrow([*measured[:99], *odd, *measured[99:]]))
    (bound,) = {*code.bounds(0, level).values()}
    assert bound <= RANGE / (1_000 if level == 1 else 100)
    for value in (0.0, 4.321, 9.99, *odd):
        coded = code.encode({"x": value}, 0, level)
        assert coded is not None
        decoded = code.decode(coded, 0)[0]["x"]
        assert abs(decoded - value) <= bound
    # What is as far out as all others extend is no outlier.
    heavy = np.random.default_rng(0).standard_exponential(2_000)
    wide_bound = fit_code(narrow(heavy.tolist())).bounds(0, 2)["x"]
    assert wide_bound == pytest.approx(float(np.ptp(heavy)) / 100)
