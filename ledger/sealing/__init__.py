"""Sealing: what is personal or secret travels encrypted under a data key per license.

The data key is itself sealed under the key ring of the environment and kept in a compacted topic;
deleting it is erasure (docs/operations/secrets.md). Verdicts rest on digests only.
"""
