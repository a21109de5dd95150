"""What everything speaks in: entries, queries, ids, contents, attributes, reports; no I/O."""
