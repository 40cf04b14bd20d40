"""Run by Alembic for every migration command, on the connection that `migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context


def run_on_given_connection() -> None:
    """Apply the migrations inside the caller's transaction."""
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


if (
    __name__ == "env_py"
):  # the name under which Alembic loads this file; a plain import (doctest collection) does nothing
    run_on_given_connection()
