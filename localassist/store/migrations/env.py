"""What Alembic runs around the migrations: on the connection that it was given, in the transaction that is open."""

from alembic import context

from localassist.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it; Alembic opens none
)
context.run_migrations()
