#!/usr/bin/env bash
# Installs this checkout with the newest releases that it allows into an environment of its own,
# and runs there what depends on them: contracts of the engines, models, values, adapters, commands
# and the demo. Kept in build/compat, so that a second run installs what has changed alone.
set -euo pipefail
python=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
home=build/compat/$version
"$python" -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade \
    --upgrade-strategy eager -e '.[cli,demo,fake,train,dev]'
echo "== Python $("$home/bin/python" -V | cut -d' ' -f2), with:"
"$home/bin/python" -m pip list --disable-pip-version-check --format freeze |
    grep -iE '^(alembic|fakeredis|gymnasium|mesa|numpy|pandas|pettingzoo|pyarrow|pydantic|redis|redis-om|sqlalchemy|torch)='
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$home/bin/python" -m pytest -q -n 2 --dist loadscope \
    --max-worker-restart=0 -m "not long" -p no:cacheprovider \
    tests/cli tests/integrations tests/models tests/repositories tests/values
"$home/bin/agent-memory" demo --path "$home/demo" --agents 20 --steps 20
rm -rf "$home/demo"
