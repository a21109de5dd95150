"""The kinds of numbers and names that parts of the configuration take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LARGEST = 2**63 - 1

Level = Annotated[int, Field(ge=0, le=2)]
Namespace = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^{}\s\x00]+$")]
Positive = Annotated[int, Field(gt=0, le=LARGEST)]
Share = Annotated[float, Field(gt=0, le=1)]
