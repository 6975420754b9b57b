"""What happened to licenses, and what it means."""
