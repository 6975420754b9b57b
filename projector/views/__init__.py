"""Pure functions from state to what a replica stores."""
