"""What to store in place of a value of another library that cannot be stored as it is.

The libraries are known by the names of their types, and none is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

_AS_ARRAY: Final = "store its numpy.asarray(...)"
_WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    "pandas": {
        "DataFrame": 'store its to_dict("records"), or a row as an entry of its own',
        "Series": "store its to_dict(), or its to_list() for the values alone",
        "Index": "store its to_list()",
        "ExtensionArray": "store its tolist()",
        "NaTType": "store None",
        "NAType": "store None",
        "Timestamp": (
            "store its to_pydatetime(), which keeps the time zone, or its to_numpy(), which keeps "
            "the nanoseconds"
        ),
        "Timedelta": "store its to_pytimedelta(), or its to_numpy(), which keeps the nanoseconds",
        "Period": "store its str(...), or the to_numpy() of its start_time",
        "Interval": "store the tuple of its left and right",
        "BaseOffset": "store its freqstr",
    },
    "polars": {
        "DataFrame": "store its to_dicts(), or a row as an entry of its own",
        "Series": "store its to_list()",
    },
    "pyarrow": {
        "Scalar": "store its as_py()",
        "Array": "store its to_pylist()",
        "ChunkedArray": "store its to_pylist()",
        "RecordBatch": "store its to_pylist()",
        "Table": "store its to_pylist()",
    },
    "torch": {"Tensor": "store its numpy(force=True)"},
}
_BY_AGENT: Final[Mapping[str, str]] = {
    "pandas": 'dict(zip(frame.index, frame.to_dict("records")))',
    "polars": '{row.pop("agent"): row for row in frame.to_dicts()}',
}


def way_out(value: object, *, by_agent: bool = False) -> str:
    """What to do with a value that is refused, as the end of a sentence; "" where nothing is known.

    Args:
        value: The value.
        by_agent: Whether a dict of states by agent was wanted.

    Examples:
        >>> import pandas as pd
        >>> way_out(pd.NA), way_out(object())
        (': store None', '')
    """
    for kind in type(value).__mro__:
        library = kind.__module__.partition(".")[0]
        if by_agent and kind.__name__ == "DataFrame" and library in _BY_AGENT:
            return f"; a frame with a row for each agent gives {_BY_AGENT[library]}"
        way = _WAYS.get(library, {}).get(kind.__name__)
        if way is not None and not by_agent:
            return f": {way}"
    # NumPy's own would lose a mask or names of fields by that.
    is_array = hasattr(type(value), "__array__") and not isinstance(value, (np.ndarray, np.generic))
    return f": {_AS_ARRAY}" if is_array and not by_agent else ""
