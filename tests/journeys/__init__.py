"""Journeys: whole ledgers of real processes, through all that can happen to them."""
