"""Emergency orders: that what can't be checked is approved for a while, and what came of it."""
