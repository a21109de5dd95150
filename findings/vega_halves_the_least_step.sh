#!/usr/bin/env bash
# Guess: an axis with tickMinStep 1 has ticks at whole numbers. Vega's reference says that the number
# of ticks "will be adjusted, if necessary, to enforce the minimum step value".
#
# Found: only the number of ticks is bounded, by the span over the least step, and d3 takes that
# number as a hint. Where it is 1 or 2, ticks come at halves: 0, 0.5, 1 on an axis of steps, and
# with format ",d", under which a half is rounded, the same label twice. From a span of 3 on it holds.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv vl-convert-python==1.9.0
run_python <<'PY'
import re

import vl_convert

VERSION = "6.4"
assert VERSION in vl_convert.get_vegalite_versions(), vl_convert.get_vegalite_versions()


def labels(last, form):
    svg = vl_convert.vegalite_to_svg(
        {
            "data": {"values": [{"step": 0}]},
            "mark": "tick",
            "width": 600,
            "encoding": {
                "x": {
                    "field": "step",
                    "type": "quantitative",
                    "title": None,
                    "axis": {"tickMinStep": 1, "format": form},
                    "scale": {"domain": [0, last], "nice": False},
                }
            },
        },
        vl_version=VERSION,
    )
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


found = {(last, form): labels(last, form) for last in (1, 2, 3) for form in ("~g", ",d")}
for (last, form), shown in found.items():
    print(f"steps 0 to {last}, format {form:2}: {' '.join(shown)}")
assert found[1, "~g"] == ["0", "0.5", "1"]
assert found[2, "~g"] == ["0", "0.5", "1", "1.5", "2"]
assert len(found[1, ",d"]) == 3 > len({*found[1, ",d"]})
assert found[3, "~g"] == ["0", "1", "2", "3"]
print("unchanged: tickMinStep 1 gives ticks at halves on short axes")
PY
