# Sourced by every script of this folder.
#
# fresh_venv PACKAGE==VERSION ...  makes a temporary folder, which is removed at exit, moves into it
#                                  and installs the packages in a virtual environment there.
# run_python < SCRIPT              runs a script in it, apart from PYTHONPATH and user packages.
#
# PYTHON names the interpreter. Without it, the first one found of version $NEEDS (3.11 unless the
# script says otherwise) serves: on PATH, then among pyenv's versions.

find_python() {
    local needs=$1 candidate
    for candidate in "${PYTHON:-}" "python$needs" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$needs".*/bin/python3 python3; do
        if [ -n "$candidate" ] && "$candidate" -c "
import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$needs')" 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    echo "this finding needs Python $needs: set PYTHON=/path/to/python$needs" >&2
    return 2
}

fresh_venv() {
    local interpreter
    interpreter=$(find_python "${NEEDS:-3.11}")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$interpreter" -m venv "$folder/venv"
    "$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check "$@"
    printf 'Python %s' "$("$folder/venv/bin/python" -c 'import platform; print(platform.python_version())')"
    printf ', %s' "$@"
    printf '\n'
    cd "$folder"
}

run_python() {
    "$folder/venv/bin/python" -I -
}
