#!/usr/bin/env bash
# Guess: node_link_graph(node_link_data(graph)) gives the graph back, whatever its attributes are
# called; a clash with the format's own keys is refused or renamed.
#
# Found: a node's attribute `id` and an edge's attributes `source` and `target` are overwritten by
# the format's own keys and are gone after loading, without a warning. Social networks of agents
# often have just these: a persistent id on the node, the source of a rumour on the edge. The
# adjacency format loses the node's id too; the Cytoscape format keeps it, and replaces the edge's
# source and target by the names of the nodes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.bash"
fresh_venv networkx==3.6.1
run_python <<'PY'
import json

import networkx as nx

graph = nx.DiGraph()
graph.add_node("ann", id=4711, trust=0.5)
graph.add_node("bob", id=4712, trust=0.25)
graph.add_edge("ann", "bob", source="rumour", target="market", weight=2)


def reloaded(write, read):
    return read(json.loads(json.dumps(write(graph))))


formats = {
    "node_link": reloaded(nx.node_link_data, nx.node_link_graph),
    "adjacency": reloaded(nx.adjacency_data, nx.adjacency_graph),
    "cytoscape": reloaded(nx.cytoscape_data, nx.cytoscape_graph),
}
for name, copy in formats.items():
    print(f"{name:9}", dict(copy.nodes["ann"]), dict(copy.edges["ann", "bob"]))
for name in ("node_link", "adjacency"):
    assert dict(formats[name].nodes["ann"]) == {"trust": 0.5}
assert dict(formats["node_link"].edges["ann", "bob"]) == {"weight": 2}
assert formats["cytoscape"].nodes["ann"]["id"] == 4711
assert formats["cytoscape"].edges["ann", "bob"]["source"] == "ann"
print("unchanged: attributes named id, source and target are lost")
PY
