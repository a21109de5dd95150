#!/usr/bin/env bash
# Guess: a RedisVL filter on an empty list of tags finds nothing, or is refused, and "or" with
# another filter finds no less than either.
#
# Found: it is written as *, which is no condition at all, and so are its negation and a comparison
# with None. Joined with another filter it disappears, in "or" as in "and": what finds everything, or
# the steps above 3, finds the steps above 3 alone. Both follow from one rule that the docs state for
# query building by optional arguments; the negation and the "or" are not named there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv redisvl==0.28.0 redis==8.1.0
run_python <<'PY'
from redisvl.query.filter import Num, Tag

later = Num("step") > 3
written = {
    "agent in []": Tag("agent") == [],
    "agent not in []": Tag("agent") != [],
    "step is None": Num("step") == None,  # noqa: E711
    "agent in [] and step > 3": (Tag("agent") == []) & later,
    "agent in [] or step > 3": (Tag("agent") == []) | later,
}
for words, condition in written.items():
    print(f"{words:26} {condition}")
written = {words: str(condition) for words, condition in written.items()}
assert written["agent in []"] == written["agent not in []"] == written["step is None"] == "*"
assert written["agent in [] and step > 3"] == written["agent in [] or step > 3"] == str(later)
print("unchanged: a filter on nothing finds everything")
PY
