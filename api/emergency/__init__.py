"""Emergency orders at a worker: taken, told of, obeyed, entered in the ledger."""
