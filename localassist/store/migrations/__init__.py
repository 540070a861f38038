"""The way from every released schema to the next: Alembic's folder. Migrations are only added, never changed."""
