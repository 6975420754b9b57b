"""The catalog's laws, on any orders: the model agrees, nothing unique is held twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import memory
from ledger.domain.catalog.claims import claims_of, claims_wanted
from ledger.domain.catalog.entities import Policy, Product
from ledger.domain.catalog.events import CatalogEvent
from ledger.event_log.catalog_codec import decode_catalog, encode_catalog
from tests.ledger.domain.catalog.naive_model import NaiveCatalog, Order
from tests.ledger.domain.catalog.orders import first_orders, orders
from tests.ledger.domain.catalog.replica import CatalogReplica
from tests.ledger.domain.given import NOW_MS

DAY_MS, LAST, AT_ONCE = 30_000, 4, 2
Steps = list[tuple[tuple[CatalogEvent, Order], int]]


def _steps(most: int) -> st.SearchStrategy[Steps]:
    begun = [(first, 0) for first in first_orders()]
    taken = st.lists(st.tuples(orders(), st.sampled_from([0, 1_000, 10_000])), max_size=most)
    return st.builds(lambda with_begun, more: [*(begun if with_begun else []), *more], _most, taken)


_most = st.sampled_from([True, True, True, False])
steps = _steps(60)


@contextmanager
def _small_memory() -> Iterator[None]:
    """Bounds that a short run comes by."""
    with patch.multiple(memory, MEMORY_MS=DAY_MS, MEMORY_COMMANDS=LAST, FORGOTTEN_MAX=AT_ONCE):
        yield


def _compare(taken: Steps) -> None:
    replica = CatalogReplica()
    model = NaiveCatalog(day_ms=DAY_MS, last=LAST, at_once=AT_ONCE)
    timestamp_ms = NOW_MS
    with _small_memory():
        for (event, order), step_ms in taken:
            timestamp_ms += step_ms
            replica.tick(timestamp_ms)
            expected = model.take(order, replica.elapsed_ms)
            assert replica.take(event).code == expected, order
    found = {entity.id: entity for entity in replica.entities()}
    assert found.keys() == model.things.keys()
    for id_, thing in model.things.items():
        for name, value in thing.items():
            if name in {"account", "product", "version", "digest", "code", "domain", "record"}:
                assert getattr(found[id_], name) == value
        entity = found[id_]
        if isinstance(entity, Policy):
            assert entity.terms.max_machines == thing["seats"]
            assert entity.terms.entitlements == thing.get("rights", {})


@given(steps)
@settings(max_examples=300)
def test_the_model_agrees(taken: Steps) -> None:
    _compare(taken)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(_steps(200))
@settings(settings.get_profile("thorough"))
def test_the_model_agrees_for_long(taken: Steps) -> None:
    _compare(taken)


@given(steps)
def test_nothing_unique_is_held_twice_and_products_know_their_policies(taken: Steps) -> None:
    replica = CatalogReplica()
    for (event, _), _ in taken:
        replica.take(event)
        held = Counter(name for entity in replica.entities() for name in claims_of(entity))
        assert max(held.values(), default=1) == 1
        held_by = {name: e.id for e in replica.entities() for name in claims_of(e)}
        assert replica.claims == held_by
        policies = Counter(e.product for e in replica.entities() if isinstance(e, Policy))
        for entity in replica.entities():
            if isinstance(entity, Product):
                assert entity.policies == policies[entity.id]


@given(steps)
def test_a_claim_that_is_made_was_named_before(taken: Steps) -> None:
    """Else a projector would not have looked at who holds it."""
    replica = CatalogReplica()
    for (event, _), _ in taken:
        made = {name for name, id_ in replica.folded(event).claims.items() if id_ is not None}
        assert made <= set(claims_wanted(event))


@given(steps, st.integers(0, 60))
def test_a_repetition_has_the_first_verdict_and_changes_nothing(taken: Steps, at: int) -> None:
    replica = CatalogReplica()
    verdicts = [replica.take(event) for (event, _), _ in taken]
    before = replica.state()
    for (event, order), first in list(zip(taken, verdicts, strict=True))[at:]:
        again = replica.take(event[0])
        known = replica.verdicts.values()
        if first.code == "idempotency-mismatch":
            assert again.code == "idempotency-mismatch", order
        else:
            assert again == first
            assert again in known
    assert replica.state() == before


@given(steps)
def test_every_order_survives_the_codec(taken: Steps) -> None:
    for (event, _), _ in taken:
        assert decode_catalog(event.account.encode(), encode_catalog(event)) == event
