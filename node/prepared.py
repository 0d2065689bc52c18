"""Statements of the hot path: compiled once, run on the driver's own cursor within a transaction of SQLAlchemy's.

What SQLAlchemy does around each execution costs more than SQLite needs for the answer. Only statements that every
request or every record runs are worth this; whoever writes one selects columns, never objects.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ClauseElement, Connection, Dialect, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler


class Prepared:
    """A statement, compiled once a dialect. Values and columns are converted where their types say so."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def all(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows for these values of the statement's parameters."""
        rows: list[tuple[Any, ...]] = self._run(connection, values).fetchall()
        columns = self._compiled[connection.dialect.name].columns
        return [_convert_row(row, columns) for row in rows] if columns else rows

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run a statement that gives no rows; return how many it has touched."""
        return int(self._run(connection, values).rowcount)

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        compiled = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        merged = {**compiled.fixed, **values}
        for name, convert in compiled.converters.items():
            merged[name] = convert(merged[name])
        given = [merged[name] for name in compiled.order] if compiled.order else merged
        return run_on_driver(connection, compiled.text, given)

    def _compile(self, dialect: Dialect) -> "_Compiled":
        compiled = self._statement.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler) or compiled.post_compile_params:
            raise TypeError("a statement whose text depends on its values, as `IN` a list, cannot be prepared")
        columns = enumerate(self._statement.selected_columns if isinstance(self._statement, Select) else ())
        leave = {at: column.type.dialect_impl(dialect).result_processor(dialect, None) for at, column in columns}
        binds = compiled.bind_names.items()  # their names in the text: in `binds` a constant has another
        enter = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for bind, name in binds}
        found = _Compiled(
            str(compiled),
            compiled.params,
            tuple(compiled.positiontup or ()),
            {name: convert for name, convert in enter.items() if convert is not None},
            {at: convert for at, convert in leave.items() if convert is not None},
        )
        self._compiled[dialect.name] = found
        return found


class _Compiled(NamedTuple):
    """A statement's text for one driver, the values written in it, the order of its parameters, all conversions."""

    text: str
    fixed: Mapping[str, Any]
    order: tuple[str, ...]
    converters: Mapping[str, Callable[[Any], Any]]
    columns: Mapping[int, Callable[[Any], Any]]


def _convert_row(row: tuple[Any, ...], columns: Mapping[int, Callable[[Any], Any]]) -> tuple[Any, ...]:
    return tuple(columns[at](value) if at in columns else value for at, value in enumerate(row))


def run_on_driver(connection: Connection, statement: str, values: Any = ()) -> Any:
    """Run a statement without what SQLAlchemy does around one; its failure is told as SQLAlchemy would.

    A connection that was lost is given up, so that the next one who asks the pool gets another.
    """
    driver = connection.connection
    cursor = driver.cursor()
    try:
        cursor.execute(statement, values)
    except connection.dialect.loaded_dbapi.Error as error:
        if connection.dialect.is_disconnect(error, driver.dbapi_connection, cursor):
            connection.invalidate(error)
        raise DBAPIError.instance(statement, None, error, connection.dialect.loaded_dbapi.Error) from error
    return cursor
