#!/usr/bin/env bash
# Guess: the same migration of the same SQLite table gives the same table, to the letter. Whoever
# compares schema dumps, or the files of two machines, may rely on it.
#
# Found: batch mode keeps a table's foreign keys and checks in a set of objects that are ordered by
# where they lie in memory. One process that migrates fresh copies of one database writes CREATE
# TABLE with its constraints in many orders. Named or not, the columns stay in theirs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv alembic==1.20.1 sqlalchemy==2.1.9
run_python <<'PY'
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

PARENTS = [f"parent_{number}" for number in range(6)]
COLUMNS = ", ".join(f"{name}_id integer" for name in PARENTS)
KEYS = ", ".join(
    f"constraint fk_{name} foreign key ({name}_id) references {name} (id)" for name in PARENTS
)


def migrated():
    with sa.create_engine("sqlite://").connect() as connection:
        run = connection.exec_driver_sql
        for name in PARENTS:
            run(f"create table {name} (id integer primary key)")
        run(f"create table child (id integer primary key, note text, {COLUMNS}, {KEYS})")
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("child") as batch:
            batch.alter_column("note", type_=sa.String(200))
        return run("select sql from sqlite_master where name = 'child'").scalar()


made = [migrated() for _ in range(60)]
lines = {tuple(sorted(line.strip(" ,\n\t)") for line in one.splitlines())) for one in made}
print(f"60 migrations of one table: {len({*made})} texts, {len(lines)} set of lines")
assert len(lines) == 1
assert len({*made}) > 1
print("unchanged: the order of constraints is left to chance")
PY
