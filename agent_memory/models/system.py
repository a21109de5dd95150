"""All models of a system: those of its long-term tables, and those of its Redis tiers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

from agent_memory.models.ltm import LtmModels
from agent_memory.values.tried import tried_with

if TYPE_CHECKING:
    from agent_memory.models.redis_om.backend import Backend
    from agent_memory.models.redis_om.entry import RedisEntry


@dataclass(frozen=True)
class SystemModels(LtmModels):
    """The models of long-term memory, and besides them ``StmEntry`` and ``ImEntry``.

    Attributes:
        stm: What ``StmEntry`` is bound to.
        im: What ``ImEntry`` is bound to.
    """

    stm: Backend
    im: Backend

    @classmethod
    def of(cls, ltm: LtmModels, stm: Backend, im: Backend) -> SystemModels:
        """The models of a system.

        Args:
            ltm: Those of its long-term memory.
            stm: What ``StmEntry`` is bound to.
            im: What ``ImEntry`` is bound to.
        """
        return cls(**{part.name: getattr(ltm, part.name) for part in fields(ltm)}, stm=stm, im=im)

    @cached_property
    def StmEntry(self) -> type[RedisEntry]:  # noqa: N802  # it is a class
        """The Redis-OM model of short-term memory."""
        return _entry_model("StmEntry", self.stm)

    @cached_property
    def ImEntry(self) -> type[RedisEntry]:  # noqa: N802  # it is a class
        """The Redis-OM model of intermediate memory."""
        return _entry_model("ImEntry", self.im)


@tried_with("redis-om", "redis", "pydantic")
def _entry_model(name: str, backend: Backend) -> type[RedisEntry]:
    # Redis-OM takes up to half a second to import, which who only stores shall not pay.
    from agent_memory.models.redis_om.entry import entry_model  # noqa: PLC0415

    return entry_model(name, backend)
