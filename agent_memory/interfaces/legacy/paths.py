"""Module paths that moved: importing one gives a module that forwards its names.

Each name is taken from its home of today, with a ``DeprecationWarning`` that says where that is.
Private names come without one: they are not imported by people, but named in pickles of agents
that ``with_memory`` hooked, which must load however warnings are handled.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc would take a third of the time of the root

_ROOT = "agent_memory"

# Where the names of each former module are now. The first that has a name gives it.
_HOMES = {
    "absence": "connections.circuit_breaker",
    "ageing": "tiers.ageing",
    "api": "interfaces.api",
    "attributes": "values.attributes",
    "backups": "system.backups",
    "backups.file": "system.backups.file",
    "backups.restoring": "system.backups.restoring",
    "backups.saving": "system.backups.saving",
    "budget": "tiers.budget",
    "changing": "system.updates",
    "checking": "system.checking",
    "checking.whole": "system.checking.whole",
    "consolidation": "tiers.consolidation",
    "contents": "values.contents values.coded",
    "core": "system.memory_system",
    "embedded": "connections.embedded.server",
    "embedded_conversion": "connections.embedded.conversion",
    "embedded_folder": "connections.embedded.folder",
    "embedded_manifest": "connections.embedded.manifest",
    "embedded_modules": "connections.embedded.modules",
    "encoders": "system.learning.versions",
    "entry": "values.entry values.query values.checks",
    "erasing": "system.erasure",
    "extent": "values.extent",
    "fidelity": "system.learning.fidelity",
    "file_names": "values.file_names",
    "fitting_contents": "system.learning.contents embeddings.encoder",
    "folder_record": "connections.folder_record",
    "forgetting": "tiers.forgetting",
    "forking": "values.forking",
    "hooks": "interfaces.hooks",
    "hooks.accounts": "interfaces.hooks.accounts",
    "hooks.installation": "interfaces.hooks.installation",
    "hooks.recording": "interfaces.hooks.recording",
    "hooks.single": "interfaces.hooks.single",
    "identity": "values.identity",
    "int8_grid": "embeddings.int8_grid",
    "intake": "tiers.intake tiers.replaying",
    "learning": "system.learning.gathering",
    "legacy": "interfaces.legacy.memory",
    "legacy_store": "interfaces.legacy.store",
    "memory_agent": "system.memory_agent",
    "models.redis_index": "models.redis_search_schema",
    "models.redis_om_query": "models.redis_om.query",
    "ordering": "values.ordering",
    "outages": "connections.outages",
    "passages": "tiers.demotion tiers.moving",
    "quarantine": "tiers.quarantine",
    "quoting": "values.quoting",
    "reencoding": "system.learning.reencoding",
    "repositories.base": (
        "repositories.contract repositories.outcomes repositories.nearest repositories.querying "
        "repositories.clearing repositories.codec repositories.upkeep repositories.moves"
    ),
    "repositories.census": "repositories.counts",
    "resources": "system.resources",
    "retrieval.accesses": "retrieval.access_log",
    "retrieval.across": "retrieval.recall",
    "sealing": "values.sealing",
    "serving": "connections.serving",
    "soundness": "values.check_report",
    "spool": "tiers.spool connections.deployment",
    "status": "values.status",
    "stores": "system.agent_stores",
    "unexpired": "tiers.expiry",
}

# The same module under a second name: promised, so nothing warns.
_ALIASES = {"schema": "repositories.sql.schema"}


class _Forwarder(ModuleType):
    """A former module, whose names are elsewhere."""

    def __getattr__(self, name: str) -> object:
        if not name.startswith("__"):
            for home in _HOMES[self.__name__.removeprefix(f"{_ROOT}.")].split():
                module = importlib.import_module(f"{_ROOT}.{home}")
                if hasattr(module, name):
                    if not name.startswith("_"):
                        self._warn(name, module.__name__)
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def _warn(self, name: str, home: str) -> None:
        warnings.warn(
            f"{self.__name__}.{name} moved: import it from {_public_home(name) or home}",
            DeprecationWarning,
            stacklevel=3,
        )


class _FormerPaths(Loader):
    """Finds former modules, once nothing else has found one of their name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a former module; None of any other."""
        del path, target
        root, _, name = fullname.partition(".")
        if root != _ROOT or not (name in _HOMES or name in _ALIASES):
            return None
        is_package = any(other.startswith(f"{name}.") for other in _HOMES)
        return ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module that forwards."""
        return _Forwarder(spec.name, f"The former place of names that moved; see {_ROOT}.")

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in its place, if it is one under a second name."""
        home = _ALIASES.get(module.__name__.removeprefix(f"{_ROOT}."))
        if home is not None:
            sys.modules[module.__name__] = importlib.import_module(f"{_ROOT}.{home}")


_FINDER = _FormerPaths()


def install() -> None:
    """Let former module paths be imported in this process."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


def _public_home(name: str) -> str | None:
    """The package's root, for names that it gives."""
    return _ROOT if name in getattr(sys.modules.get(_ROOT), "__all__", ()) else None
