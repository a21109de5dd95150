#!/usr/bin/env bash
# Guess: Chroma's add refuses an id that is there or replaces it, update and delete refuse one that
# is not, and upsert leaves what it was given.
#
# Found: add of an id that is there keeps the old entry and says nothing, though the same id twice
# within one call is an error. update and delete of an unknown id say nothing either. upsert merges:
# keys that the new metadata lacks stay, the old document stays beside a new embedding, so that an
# entry is found by one vector and shows the text of another.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv chromadb==1.5.9 numpy==2.4.6
run_python <<'PY'
import chromadb
from chromadb.config import Settings
from chromadb.errors import DuplicateIDError

client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
memories = client.create_collection("memories")


def stored(memory_id):
    found = memories.get(ids=[memory_id], include=["documents", "metadatas", "embeddings"])
    return found["documents"][0], found["metadatas"][0], found["embeddings"][0].tolist()


memories.add(
    ids=["a"], embeddings=[[1.0, 0.0]], documents=["a wolf"], metadatas=[{"step": 1, "fear": True}]
)
memories.add(ids=["a"], embeddings=[[0.0, 1.0]], documents=["a sheep"], metadatas=[{"step": 2}])
print("added twice: ", stored("a"))
assert stored("a") == ("a wolf", {"step": 1, "fear": True}, [1.0, 0.0])

try:
    memories.add(ids=["b", "b"], embeddings=[[1.0, 0.0], [0.0, 1.0]])
except DuplicateIDError as error:
    print("twice in one call:", str(error)[:50])
else:
    raise SystemExit("taken")

memories.upsert(ids=["a"], embeddings=[[0.0, 1.0]], metadatas=[{"step": 3}])
print("upserted:    ", stored("a"))
assert stored("a") == ("a wolf", {"step": 3, "fear": True}, [0.0, 1.0])

memories.update(ids=["nobody"], embeddings=[[1.0, 1.0]])
memories.delete(ids=["nobody"])
assert memories.count() == 1
print("unchanged: what is there wins, and nobody is told")
PY
