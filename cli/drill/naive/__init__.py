"""The naive service: licenses in Postgres, asked and changed in one table. What ours is beside."""
