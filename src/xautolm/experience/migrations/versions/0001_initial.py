"""Tasks, systems and experiences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of the first release."""
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("dataset_id", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("schema_name", sa.String, nullable=False),
        sa.Column("features", sa.JSON, nullable=False),
        sa.Column("semantic", sa.JSON),
        sa.Column("sketch", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_tasks"),
        sa.UniqueConstraint("content_hash", name="uq_tasks_content_hash"),
    )
    op.create_index("ix_tasks_dataset_id", "tasks", ["dataset_id"])
    op.create_index("ix_tasks_fingerprint", "tasks", ["fingerprint"])
    op.create_table(
        "systems",
        sa.Column("system_id", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String, nullable=False),
        sa.Column("schema_name", sa.String, nullable=False),
        sa.Column("features", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("system_id", name="pk_systems"),
        sa.UniqueConstraint("content_hash", name="uq_systems_content_hash"),
    )
    _create_experiences()


def _create_experiences() -> None:
    op.create_table(
        "experiences",
        sa.Column("experience_id", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("trial_id", sa.Integer, nullable=False),
        sa.Column("task_id", sa.Integer, nullable=False),
        sa.Column("system_id", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("error_kind", sa.String),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("f1", sa.Float),
        sa.Column("time_s", sa.Float, nullable=False),
        sa.Column("space_version", sa.String, nullable=False),
        sa.Column("model_revision", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("experience_id", name="pk_experiences"),
        sa.UniqueConstraint("content_hash", name="uq_experiences_content_hash"),
        sa.UniqueConstraint("run_id", "trial_id", name="uq_experiences_run_id_trial_id"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_experiences_task_id"),
        sa.ForeignKeyConstraint(["system_id"], ["systems.system_id"], name="fk_experiences_system_id"),
        sqlite_autoincrement=True,
    )
    for columns in (["task_id"], ["status"], ["created_at"], ["model", "method"]):
        op.create_index(f"ix_experiences_{'_'.join(columns)}", "experiences", columns)
