"""Made the small files of each format's newest number: python -m tests.system.assets.make_files

To be run by a version that writes the number, once: the files stand for those that people have.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from agent_memory import AgentMemorySystem, MemoryConfig, Vector, VectorStore
from agent_memory.embeddings.artifact import MAGIC as ENCODER_MAGIC
from agent_memory.embeddings.own import MAGIC as OWN_MAGIC
from agent_memory.embeddings.own import OwnSpace
from agent_memory.embeddings.vector_store import MAGIC as VECTORS_MAGIC
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.system.frames.exact import FORMAT as EXPORT_FORMAT
from agent_memory.testing.samples import a_memory_id, an_entry
from agent_memory.tiers.quarantine import FORMAT as QUARANTINE_FORMAT
from agent_memory.tiers.quarantine import Quarantine, Quarantined
from agent_memory.tiers.spool import FORMAT as SPOOL_FORMAT
from agent_memory.tiers.spool import Spool
from agent_memory.values.entry import MemoryEntry

HERE = Path(__file__).parent
NOW = 1_700_000_000.0
STATES = [{"food": float(step % 7), "mood": f"m{step % 2}"} for step in range(40)]
VECTORS = np.eye(3, dtype=np.float32)
QUARANTINED = Quarantined("STM, entry 1", "a bit flipped", NOW, {"contents": b"\x00\xff"})


OWN = an_entry(run_id="default", agent_id="bee", memory_id=a_memory_id(99), step_number=0)


def entries() -> list[MemoryEntry]:
    """What is in the spool and in the exports."""
    return [
        an_entry(
            run_id="default",
            agent_id="ant",
            memory_id=a_memory_id(step),
            step_number=step,
            timestamp=NOW + step,
            contents={"step": step, "seen": (step, "x"), "grid": np.arange(4, dtype=np.int8)},
        )
        for step in range(3)
    ]


def main() -> None:
    """Make the files."""
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder, "spool"), "a store", 1 << 20)
        spool.put_many(entries(), NOW)
        spool.rewrite_file()
        spool.close()
        _keep(Path(folder, "spool"), f"spool_{SPOOL_FORMAT}.db")
        quarantine = Quarantine(Path(folder, "quarantine"))
        quarantine.put(QUARANTINED)
        _keep(quarantine.file, f"quarantine_{QUARANTINE_FORMAT}.db")
        vectors = VectorStore(3)
        vectors.add(["a", "b", "c"], VECTORS)
        vectors.save(HERE / f"vectors_{VECTORS_MAGIC[-1]}.amvec")
        (HERE / f"own_{OWN_MAGIC[-1]}.amown").write_bytes(OwnSpace("minilm", 384).to_bytes())
        config = MemoryConfig(engine="fake", path=folder)
        with AgentMemorySystem(config, upkeep=False) as memory:
            memory.stm.add_many(entries())
            for kind in ("parquet", "jsonl", "csv"):
                memory.export(HERE / f"export_1.{kind}", force=True)
            memory.store_many([OWN], vector=[Vector([3.0, 4.0], space="minilm")])
            for kind in ("parquet", "jsonl", "csv"):
                memory.export(HERE / f"export_{EXPORT_FORMAT}.{kind}", force=True)
            version = memory.train_encoder(STATES, epochs=1).version
            artifact = EncoderVersions(memory.sql_engine).artifact(version)
        assert artifact is not None
        (HERE / f"encoder_{ENCODER_MAGIC[-1]}.amenc").write_bytes(artifact)


def _keep(file: Path, name: str) -> None:
    (HERE / name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    main()
