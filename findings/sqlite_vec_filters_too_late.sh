#!/usr/bin/env bash
# Guess: conditions beside MATCH and k in a query of sqlite-vec are applied before the k nearest
# are chosen, however they are written, and what cannot be applied so is refused, as LIKE is.
#
# Found: a comparison with a constant, IN and BETWEEN on a metadata column filter first. The same
# conditions written as a bare boolean, with NOT IN, with IS TRUE or with arithmetic are applied to
# the k rows that were found, and so are = and > on the primary key, where IN filters first. The
# query returns fewer rows than k, or none, though k rows fulfil it. No error tells. The documented
# operators are those that filter first; that others are applied afterwards is not said there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv sqlite-vec==0.1.9 apsw==3.54.1.0
run_python <<'PY'
import struct

import apsw
import sqlite_vec

database = apsw.Connection(":memory:")
database.enable_load_extension(True)
database.load_extension(sqlite_vec.loadable_path())
database.execute(
    "CREATE VIRTUAL TABLE memory USING"
    " vec0(id INTEGER PRIMARY KEY, place FLOAT[2], alive BOOLEAN, step INTEGER)"
)
for number in range(1, 9):
    row = (number, struct.pack("2f", number, 0), number > 4, number)
    database.execute("INSERT INTO memory VALUES (?, ?, ?, ?)", row)


def nearest(condition):
    query = f"SELECT id FROM memory WHERE place MATCH ? AND k = 3 AND {condition}"
    found = [number for (number,) in database.execute(query, (struct.pack("2f", 0, 0),))]
    true = database.execute(f"SELECT count(*) FROM memory WHERE {condition}").fetchone()[0]
    print(f"{condition:24} true of {true} rows, nearest 3: {found}")
    return found


first = ["alive = 1", "step > 4", "step BETWEEN 5 AND 8", "step IN (5, 6, 7)", "id IN (5, 6, 7)"]
late = ["alive", "alive IS TRUE", "step NOT IN (1, 2, 3, 4)", "step + 0 > 4", "id > 4", "id = 6"]
for condition in first:
    assert nearest(condition) == [5, 6, 7]
for condition in late:
    assert nearest(condition) == []
print("SQLite", apsw.sqlite_lib_version())
print("unchanged: how a filter is written decides what it finds")
PY
