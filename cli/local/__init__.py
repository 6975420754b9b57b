"""The servers of the local system: how they are set up and started."""
