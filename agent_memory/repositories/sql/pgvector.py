"""Whether a PostgreSQL database has pgvector, and what to do where it has not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, exc, text

from agent_memory.errors import QueryEngineMissing

NEEDED = (0, 8)
"""The least version: the first whose indexes go on looking where a filter left too few."""

_PACKAGE = "install it there, such as by the package postgresql-{major}-pgvector"
_NO_RIGHT = "42501"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


@dataclass(frozen=True, slots=True)
class PgVector:
    """The extension, as a database has it.

    Attributes:
        server: The major version of the server.
        offered: The version that the server's files hold; None if they hold none.
        version: The version that the database uses; None if it uses none.
        schema: Where its types are, as SQL names it; None likewise.
        may_create: Whether this user may create it.
    """

    server: int
    offered: str | None
    version: str | None
    schema: str | None
    may_create: bool

    @property
    def complaint(self) -> str | None:
        """Why vectors cannot be indexed, and how to mend it; None if they can."""
        least = ".".join(map(str, NEEDED))
        if self.version is not None:
            if _numbers(self.version) >= NEEDED:
                return None
            mend = "ALTER EXTENSION vector UPDATE"
            if self.offered is None or _numbers(self.offered) < NEEDED:
                mend = f"{_PACKAGE.format(major=self.server)}, and then {mend}"
            return f"pgvector {self.version} is too old, {least} is needed: {mend}"
        if self.offered is None:
            return f"the server has no pgvector: {_PACKAGE.format(major=self.server)}"
        if _numbers(self.offered) < NEEDED:
            return (
                f"the server offers pgvector {self.offered}, {least} is needed: "
                f"{_PACKAGE.format(major=self.server)}"
            )
        if not self.may_create:
            return (
                "this user may not create pgvector in the database: have a superuser run "
                "CREATE EXTENSION vector there once"
            )
        return None

    def created(self, connection: Connection, place: str) -> str:
        """The schema of its types; where the database does not use it yet, it is created.

        Args:
            connection: To the database, where each statement is a transaction.
            place: The database, for messages. No secrets.

        Raises:
            QueryEngineMissing: It is missing or too old, or may not be created; says what to do.
        """
        if self.complaint is not None:
            raise QueryEngineMissing(f"{place}: {self.complaint}")
        if self.schema is not None:
            return self.schema
        try:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _NO_RIGHT:
                raise
            raise QueryEngineMissing(
                f"{place}: this user may not create pgvector in the database: have a superuser "
                "run CREATE EXTENSION vector there once"
            ) from error
        return look_for_pgvector(connection).schema or "public"


def look_for_pgvector(connection: Connection) -> PgVector:
    """What a PostgreSQL database has of pgvector.

    Args:
        connection: To the database.
    """
    server, offered, version, schema, may_create = connection.execute(
        text(
            "SELECT current_setting('server_version_num')::int / 10000,"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),"
            " e.extversion, quote_ident(n.nspname),"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR coalesce((SELECT"
            " bool_or(trusted) FROM pg_available_extension_versions WHERE name = 'vector')"
            " AND has_database_privilege(current_database(), 'CREATE'), false)"
            " FROM (SELECT 1) AS one LEFT JOIN pg_extension e ON e.extname = 'vector'"
            " LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
        )
    ).one()
    return PgVector(server, offered, version, schema, bool(may_create))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
