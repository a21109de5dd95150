"""A value of another library that is refused is refused with what to store in its place."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from agent_memory import AgentMemorySystem, InvalidEntry
from agent_memory.values.contents import pack, unpack

FRAME = pd.DataFrame({"food": [1.5, 2.0]}, index=["ant", "bee"])
REFUSED: dict[str, tuple[Any, str, Any]] = {
    "timestamp": (pd.Timestamp("2026-01-02T03", tz="Europe/Zurich"), "to_pydatetime()",
                  pd.Timestamp.to_pydatetime),
    "nanoseconds": (pd.Timestamp(1), "to_numpy()", pd.Timestamp.to_numpy),
    "timedelta": (pd.Timedelta("1s"), "to_pytimedelta()", pd.Timedelta.to_pytimedelta),
    "NaT": (pd.NaT, "store None", None),
    "NA": (pd.NA, "store None", None),
    "series": (FRAME["food"], "to_dict()", pd.Series.to_dict),
    "index": (FRAME.index, "to_list()", pd.Index.to_list),
    "frame": (FRAME, 'to_dict("records")', lambda it: it.to_dict("records")),
    "categorical": (pd.Categorical(["a"]), "tolist()", pd.Categorical.tolist),
    "integers": (pd.array([1, 2], dtype="Int64"), "tolist()", lambda it: it.tolist()),
    "period": (pd.Period("2026-01"), "str(...)", str),
    "interval": (pd.Interval(0, 1), "left and right", lambda it: (it.left, it.right)),
    "offset": (pd.offsets.Day(2), "freqstr", lambda it: it.freqstr),
    "polars": (pl.Series([1, 2]), "to_list()", pl.Series.to_list),
    "polars' frame": (pl.DataFrame({"a": [1]}), "to_dicts()", pl.DataFrame.to_dicts),
    "arrow": (pa.scalar(1.5), "as_py()", lambda it: it.as_py()),
    "arrow's table": (pa.table({"a": [1]}), "to_pylist()", pa.Table.to_pylist),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_says_what_to_store_and_that_can_be_stored(kind: str) -> None:
    value, way, convert = REFUSED[kind]
    with pytest.raises(InvalidEntry, match=rf"contents\.nest\[0\]: .*{re.escape(way)}"):
        pack({"nest": [value]})
    plain = None if convert is None else convert(value)
    assert unpack(pack({"nest": [plain]})) == {"nest": [plain]}


def test_a_frame_of_a_step_is_refused_with_what_makes_states_of_it() -> None:
    with AgentMemorySystem({"engine": "fake"}) as memory:
        with pytest.raises(InvalidEntry, match="frame with a row for each agent") as refused:
            memory.store_step(0, FRAME)
        made = eval(str(refused.value).partition("gives ")[2], {"frame": FRAME})  # noqa: S307 - ours
        assert len(memory.store_step(0, made).accepted) == 2
        with pytest.raises(InvalidEntry, match=r"not pandas\.Series: store its to_dict\(\)"):
            memory.store_agent_state("ant", FRAME["food"], 0)
