"""What history is imported from: other license servers' logs, and our own CSV form."""
