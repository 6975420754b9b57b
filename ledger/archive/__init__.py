"""A backup of the log in a folder: what its files hold, and whether they still hold it."""
