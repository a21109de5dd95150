"""An integration whose package is missing or too old names the command that mends it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from agent_memory.integrations.extras import explained, require
from tests import engines


@pytest.mark.parametrize(
    "package", engines.parameters(["gymnasium", "pettingzoo", "minari"], ["gymnasium"])
)
def test_a_missing_package_names_the_extra(package: str) -> None:
    program = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "try:\n"
        f"    import agent_memory.integrations.{package}\n"
        "except ModuleNotFoundError as error:\n"
        f"    assert \"pip install --upgrade 'agent-memory[{package}]'\" in str(error), error\n"
        "else:\n"
        "    sys.exit('imported without its package')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_package_that_is_too_old_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_memory.values.tried.version", lambda _: "1.0.0a2+local.7")
    with pytest.raises(
        ImportError,
        match=r"needs gymnasium 1\.1 or newer, not 1\.0\.0a2\+local\.7: pip .*\[gymnasium\]",
    ):
        require("gymnasium", (1, 1), "gymnasium")
    require("gymnasium", (1, 0), "gymnasium")
    reported = explained(
        ImportError("cannot import name 'AutoresetMode'"), "gymnasium", "gymnasium"
    )
    assert not isinstance(reported, ModuleNotFoundError)
    assert "cannot use the gymnasium 1.0.0a2" in str(reported)
    assert "agent-memory[gymnasium]" in str(reported)


def test_a_copy_without_a_version_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr("agent_memory.values.tried.version", unknown)
    require("gymnasium", (9, 9), "gymnasium")
