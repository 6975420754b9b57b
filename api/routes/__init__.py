"""The routes: requests in, answers out. What they have in common is in endpoint.py."""
