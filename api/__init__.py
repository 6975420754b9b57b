"""The HTTP service: checks, activations, administration, status."""
