"""How to mend what a SQL database complains about, by the words of its complaint."""

from __future__ import annotations

_REMEDIES = (
    ("locked", "another process holds it for long: let it finish, or end it"),
    (
        "readonly",
        "it may not be written: check the permissions of the file and its folder (chmod u+w)",
    ),
    ("unable to open", "check that the path exists and the permissions of file and folder"),
    ("malformed", "the file is damaged: restore it from a backup"),
    ("not a database", "the file is damaged or no SQLite database: name another"),
    ("disk I/O", "the disk reports an error: check it"),
    (
        "prepared statement",
        "a pooler hands out connections without them: end the URL with ?prepare_threshold=none",
    ),
    ("authentication", "check user and password in the URL"),
    ("read-only transaction", "it takes no writes: name the server that does in the URL"),
    ("permission denied", "let its owner grant the right, or name another user in the URL"),
    (
        "already exists",
        "another program has a table of that name: name another database, or another table_prefix",
    ),
    (
        "no schema has been selected",
        "the user's search_path names no schema that is there: make it, or set another",
    ),
    (
        "too many connections",
        "close what keeps them, or raise the limit (of the database, the role or max_connections)",
    ),
    (
        "too many clients",
        "close what keeps them, or raise max_connections",
    ),
    (
        "connection slots",
        "close what keeps them, or raise max_connections",
    ),
    (
        "idle-in-transaction timeout",
        "raise idle_in_transaction_session_timeout, or ease what keeps this program busy",
    ),
    (
        "transaction timeout",
        "raise transaction_timeout, or ease what keeps the server busy",
    ),
    ("does not exist", "check user and database in the URL"),
    ("could not", "check that the server is running and the URL"),
    ("statement timeout", "raise statement_timeout, or ease what keeps the server busy"),
    ("lock timeout", "another transaction holds it for long: let it finish, or end it"),
    ("refused", "check that the server is running and the URL"),
)


def remedy_of(complaint: str) -> str | None:
    """What to do about a complaint; None where its words say nothing that is known.

    Args:
        complaint: What a database or its driver says.
    """
    return next((advice for mark, advice in _REMEDIES if mark in complaint), None)
