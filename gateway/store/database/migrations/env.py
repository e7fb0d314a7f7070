"""Run by Alembic with the connection, and inside the transaction, of `gateway.store.database.opening`."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
