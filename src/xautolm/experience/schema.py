"""The tables of the experience store, as the newest migration leaves them.

A run adds many experiences of one task on one machine, so what they share is kept once: `tasks` (profile
and sketch, some 10 kB) and `systems`. Scalar columns repeat what SQL users filter by; the JSON columns are
complete and are what is read back. A change here needs a migration in `migrations/versions/` (a
test compares the two) and a store of the version before it in `tests/fixtures/stores/`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Integer, primary_key=True),
    Column("content_hash", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("dataset_id", String, nullable=False, index=True),
    Column("fingerprint", String, nullable=False, index=True),
    Column("schema_name", String, nullable=False),
    Column("features", JSON, nullable=False),
    Column("semantic", JSON(none_as_null=True)),
    Column("sketch", JSON, nullable=False),
)

systems = Table(
    "systems",
    metadata,
    Column("system_id", Integer, primary_key=True),
    Column("content_hash", String, nullable=False, unique=True),
    Column("schema_name", String, nullable=False),
    Column("features", JSON, nullable=False),
    Column("name", String, nullable=False, server_default=""),
)

experiences = Table(
    "experiences",
    metadata,
    Column("experience_id", Integer, primary_key=True),
    Column("content_hash", String, nullable=False, unique=True),
    Column("run_id", String, nullable=False),
    Column("trial_id", Integer, nullable=False),
    Column("task_id", ForeignKey(tasks.c.task_id), nullable=False),
    Column("system_id", ForeignKey(systems.c.system_id), nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("error_kind", String),
    Column("model", String, nullable=False),
    Column("method", String, nullable=False),
    Column("f1", Float),
    Column("time_s", Float, nullable=False),
    Column("time_limit_s", Float),
    Column("memory_limit_mib", Float),
    Column("space_version", String, nullable=False),
    Column("model_revision", String, nullable=False),
    Column("source", String, nullable=False),
    Column("created_at", String, nullable=False, index=True),
    Column("versions", JSON, nullable=False),
    Column("result", JSON, nullable=False),
    UniqueConstraint("run_id", "trial_id"),
    Index(None, "model", "method"),
    # Counts the experiences of each task and machine, and finds the newest ones, without reading the rows.
    Index(None, "task_id", "system_id", "experience_id", "status"),
    sqlite_autoincrement=True,  # ids are never used again, so that their order is the order of insertion
)
