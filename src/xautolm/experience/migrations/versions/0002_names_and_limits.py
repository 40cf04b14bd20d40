"""Names of machines, limits of trials, and one index that counts and finds the experiences of a task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, empty for what is there, and replace the index on tasks by a wider one."""
    op.add_column("systems", sa.Column("name", sa.String, nullable=False, server_default=""))
    op.add_column("experiences", sa.Column("time_limit_s", sa.Float))
    op.add_column("experiences", sa.Column("memory_limit_mib", sa.Float))
    op.drop_index("ix_experiences_task_id", "experiences")
    columns = ["task_id", "system_id", "experience_id", "status"]
    op.create_index(f"ix_experiences_{'_'.join(columns)}", "experiences", columns)
