"""The scripts of pages that show pictures: Vega's own, which vl-convert brings, and this package's.

Vega's are put together when they are first needed, which takes seconds, and are kept in the user's
cache folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile

from agent_memory.system.frames.extras import need


def asset(name: str) -> str:
    """A file of this room as text."""
    return (files("agent_memory.system.pictures") / "assets" / name).read_text(encoding="utf-8")


def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which asks no other host for anything.

    Raises:
        ConfigError: Altair or vl-convert is not installed; the message names the extra.
    """
    need("altair", "vl_convert")
    import altair as alt  # noqa: PLC0415  # an extra
    import vl_convert  # noqa: PLC0415  # an extra

    dialect = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    if dialect not in vl_convert.get_vegalite_versions():
        dialect = vl_convert.get_vegalite_versions()[-1]
    kept = cache_folder() / f"vega-{dialect}-{version('vl-convert-python')}.js"
    with suppress(OSError, UnicodeDecodeError):
        if kept.stat().st_size:
            return kept.read_text(encoding="utf-8")
    # The stub lacks the default, which is a script that shows the libraries to the page.
    script: str = vl_convert.javascript_bundle(None, vl_version=dialect)  # type: ignore[arg-type]
    with suppress(OSError):  # without a cache it takes longer next time, and that is all
        _keep(kept, script)
    return script


def cache_folder() -> Path:
    """The folder in which scripts are kept."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if given else Path.home() / ".cache"
    return home / "agent-memory"


def _keep(file: Path, text: str) -> None:
    """Write a file that takes its name when it is whole."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", dir=file.parent, encoding="utf-8", suffix=".part", delete=False
    ) as part:
        part.write(text)
    os.replace(part.name, file)  # noqa: PTH105  # the name of a file that the library made
