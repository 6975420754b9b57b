"""Maintenance of a vendor's own Postgres: what it will need, how it goes, what is due."""
