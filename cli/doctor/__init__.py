"""What `ledger doctor` looks at: each part says what it found, and what to do next."""
