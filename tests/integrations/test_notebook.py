"""The notebook of the first hour runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_memory import AgentMemorySystem

for needed in ("nbclient", "ipykernel", "mesa", "pandas", "pyarrow", "altair", "vl_convert"):
    pytest.importorskip(needed, reason=f"the notebook needs {needed}, which is not installed")
import nbformat  # noqa: E402  # where it is there
from nbclient import NotebookClient  # noqa: E402  # as above

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_hour.ipynb"


def shown(notebook: Any) -> dict[str, Any]:
    """What each cell of code shows, by the cell's last line."""
    return {
        cell.source.splitlines()[-1]: output.data
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    }


def test_the_notebook_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # theirs
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    said = [it.text for cell in notebook.cells for it in cell.get("outputs", ()) if "text" in it]
    # Mesa's progress bar looks for ipywidgets.
    assert not [text for text in said if "TqdmWarning" not in text], "neither warnings nor logs"
    found = shown(notebook)
    hits = found['run.recall(agent_id="1", order=Order.NEWEST, limit=5)']
    assert hits["text/html"].count("<tr>") == 1 + 5
    assert "step_number" in found['run.state_at("1", 10).entry']["text/html"]
    assert "LTM" in found["run.statistics()"]["text/html"]
    assert found["run"]["text/plain"].startswith("AgentMemorySystem(run='foragers-6', in")
    assert sum("image/png" in data for data in found.values()) == 4
    with AgentMemorySystem.open(tmp_path / "first_hour_memory", read_only=True) as memory:
        runs = {run.run_id: (run.seed, run.status, run.total) for run in memory.runs()}
        assert runs == {
            "foragers-3": (42, "finished", 45), "foragers-6": (42, "finished", 90),
        }  # fmt: skip
