"""Whether what a replica holds is what the log says, or what another replica holds, meanwhile."""
