"""Looking into the database of a store, past the store."""

from __future__ import annotations

import sqlalchemy as sa


def query(url: str, statement: str) -> list[tuple]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(statement)]
    engine.dispose()
    return rows


def everything(url: str) -> str:
    """All that the tables of a store hold, as one text."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [str(row) for table in tables for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
    engine.dispose()
    return "\n".join(rows)
