"""Checkpoints of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.checkpoints.document import Checkpoint, Mark, checkpoint_of
from ledger.event_log.port import Topic

digests = st.binary(min_size=16, max_size=16).map(bytes.hex)
times = st.integers(0, 253_402_300_799_999)
marks = st.builds(
    Mark, position=st.integers(0, 2**63 - 1), timestamp_ms=st.none() | times, chain=digests
)


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    """A checkpoint of a ledger with few partitions."""
    partitions = draw(st.sampled_from([1, 2, 4]))
    found = {
        Topic.LICENSE_EVENTS: tuple(draw(marks) for _ in range(partitions)),
        Topic.CATALOG_EVENTS: (draw(marks),),
    }
    if draw(st.booleans()):
        found[Topic.INCIDENT_EVENTS] = (draw(marks),)
    return checkpoint_of(
        ledger=str(draw(st.uuids())),
        partitions=partitions,
        pepper_check=draw(digests),
        made_ms=draw(times),
        marks=found,
    )
