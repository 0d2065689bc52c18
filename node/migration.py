"""A database of an earlier release gets the columns which this one knows more of; nothing is ever taken away.

New tables are made by `create_all`. What goes further than a new column needs a step of its own, written when it is
needed. A digest of all columns, kept in the database, spares every later start the comparison.
"""

import hashlib

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, MetaData, text
from sqlalchemy.sql.elements import TextClause


def describe_tables(metadata: MetaData) -> str:
    """Return a digest (64 hex digits) of the names of all tables and columns."""
    lines = [f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def add_missing_columns(connection: Connection, metadata: MetaData) -> list[str]:
    """Add to existing tables the columns they lack; return them as `table.column`. Existing rows get the default."""
    from alembic.autogenerate import compare_metadata  # needed once a release: every other start is spared its import
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    context = MigrationContext.configure(connection, opts={"compare_type": False, "compare_server_default": False})
    operations = Operations(context)
    added = []
    for difference in compare_metadata(context, metadata):
        if difference[0] != "add_column":
            continue
        table, column = difference[2], difference[3]
        operations.add_column(
            table,
            Column(
                column.name, column.type, nullable=column.nullable, server_default=_default(column), index=column.index
            ),
        )
        added.append(f"{table}.{column.name}")
    return added


def _default(column: Column[object]) -> TextClause | None:
    """Return what rows that exist hold in the new column; None where that is NULL."""
    if column.nullable:
        return None
    value = getattr(column.default, "arg", None)
    if callable(value):
        value = None
    if isinstance(column.type, LargeBinary):
        return text("''")
    if isinstance(column.type, Boolean):
        return text("true" if value else "false")
    if isinstance(column.type, Integer):
        return text(str(int(value or 0)))
    return text("'{}'".format(str(value or "").replace("'", "''")))
