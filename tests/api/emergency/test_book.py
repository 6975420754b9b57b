"""Orders that a worker has taken: how long they run, what ends them, what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api.emergency.book import REMEMBERED_MAX, RUNNING_MAX, Book, Over, Way
from ledger.emergency.orders import DURATION_S_MAX, FUTURE_MS_MAX, End, Refusal, Start
from tests.emergency import KEYS, OTHER_KEY, end_of, signed, start
from tests.ledger.domain.given import ACCOUNT, LEDGER, POLICY, PRODUCT

NOW = 1_572_944_400_000


def an_order(**changes: object) -> Start:
    return replace(start(LEDGER, ACCOUNT, issued_ms=NOW), **changes)


def take(book: Book, order: Start | End, *, now_ms: int = NOW, at_s: float = 0.0) -> Refusal | None:
    return book.take(signed(order), Way.POST, now_ms=now_ms, at_s=at_s)


def left_s(book: Book, at_s: float = 0.0) -> float:
    [taken] = book.running(at_s)
    return taken.until_s - at_s


@given(
    duration_s=st.integers(1, DURATION_S_MAX),
    late_ms=st.integers(-FUTURE_MS_MAX, 6 * 3600 * 1000),
    began_s=st.floats(0, 1e6),
)
@settings(max_examples=80, deadline=None)
def test_an_order_never_runs_longer_than_it_says(
    duration_s: int, late_ms: int, began_s: float
) -> None:
    """Neither than its duration, nor past its end by the calendar; whenever it is taken."""
    book, order = Book(LEDGER, KEYS), an_order(duration_s=duration_s)
    refusal = take(book, order, now_ms=NOW + late_ms, at_s=began_s)
    rest_s = duration_s - late_ms / 1000
    if rest_s <= 0:
        assert refusal is Refusal.EXPIRED
        assert not book.running(began_s)
        return
    assert refusal is None
    runs_s = min(duration_s, rest_s)
    assert left_s(book, began_s) == pytest.approx(runs_s, abs=1e-6)
    assert not book.running(began_s + runs_s + 1e-3)
    assert not book.has_running


@given(restarts=st.lists(st.integers(0, 3_600_000), max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_restart_lengthens_nothing(restarts: list[int]) -> None:
    """A worker that begins anew takes the order anew, and ends it when it would have ended."""
    order = an_order(duration_s=3600)
    for later_ms in sorted(restarts):
        book = Book(LEDGER, KEYS)
        if take(book, order, now_ms=NOW + later_ms) is None:
            assert later_ms / 1000 + left_s(book) == pytest.approx(3600)
        else:
            assert later_ms == 3_600_000


def test_taken_again_it_goes_on_as_it_was() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, order) is None
    assert take(book, order, now_ms=NOW + 1, at_s=1000.0) is None
    assert left_s(book, 1000.0) == 2600
    assert len(book.changes()) == 1


def test_a_clock_that_is_set_meanwhile_changes_nothing() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, order) is None
    for now_ms in (NOW - 10**9, NOW + 10**9):
        take(book, order, now_ms=max(0, now_ms), at_s=10.0)
        assert left_s(book, 10.0) == 3590


@pytest.mark.parametrize(
    ("changes", "late_ms", "refusal"),
    [
        ({"ledger": POLICY}, 0, Refusal.OF_ANOTHER_LEDGER),
        ({"duration_s": DURATION_S_MAX + 1}, 0, Refusal.TOO_LONG),
        ({}, 3_600_000, Refusal.EXPIRED),
        ({}, 400 * 86_400_000, Refusal.EXPIRED),
        ({}, -FUTURE_MS_MAX - 1, Refusal.FROM_THE_FUTURE),
        ({"duration_s": DURATION_S_MAX}, 0, None),
        ({}, 3_599_999, None),
        ({}, -FUTURE_MS_MAX, None),
    ],
)
def test_what_is_not_to_be_obeyed_is_refused_by_name(
    changes: dict[str, object], late_ms: int, refusal: Refusal | None
) -> None:
    book = Book(LEDGER, KEYS)
    assert take(book, an_order(**changes), now_ms=NOW + late_ms) is refusal
    assert book.has_running == (refusal is None)


def test_whoever_has_not_the_key_orders_nothing() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    forged = replace(signed(order), order=replace(order, unknown_keys=True))
    strangers = signed(order, OTHER_KEY)
    for one, refusal in (
        (forged, Refusal.SIGNATURE_INVALID),
        (strangers, Refusal.KEY_UNKNOWN),
        (signed(end_of(order), OTHER_KEY), Refusal.KEY_UNKNOWN),
    ):
        assert book.take(one, Way.FILE, now_ms=NOW, at_s=0) is refusal
    assert not book.changes()
    assert Book(LEDGER, {}).take(signed(order), Way.FILE, now_ms=NOW, at_s=0) is not None


def test_an_end_ends_it_at_once_and_for_good() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, order) is None
    assert take(book, end_of(order, issued_ms=NOW + 5)) is None
    assert not book.running(0.0)
    [taken] = book.over()
    assert taken.over is Over.ENDED
    assert take(book, order) is Refusal.ENDED
    assert take(book, end_of(order, issued_ms=NOW + 9)) is None
    assert not book.running(0.0)


def test_an_end_that_comes_first_keeps_the_order_from_beginning() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, end_of(order, issued_ms=NOW)) is None
    assert take(book, order) is Refusal.ENDED
    assert not book.has_running


def test_an_end_that_can_end_nothing_any_more_is_expired() -> None:
    order = an_order()
    last_ms = DURATION_S_MAX * 1000 + FUTURE_MS_MAX
    for late_ms, refusal in ((last_ms - 1, None), (last_ms, Refusal.EXPIRED)):
        ended = end_of(order, issued_ms=NOW)
        assert take(Book(LEDGER, KEYS), ended, now_ms=NOW + late_ms) is refusal


def test_what_has_run_out_does_not_begin_again_by_a_clock_that_is_set_back() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, order) is None
    assert not book.running(3600.0)
    assert take(book, order, now_ms=NOW, at_s=3601.0) is Refusal.ENDED
    [taken] = book.over()
    assert taken.over is Over.TIME


def test_another_order_under_the_same_id_is_refused() -> None:
    book, order = Book(LEDGER, KEYS), an_order()
    assert take(book, order) is None
    assert take(book, replace(order, unknown_keys=True)) is Refusal.ID_TAKEN
    [taken] = book.running(0.0)
    assert not taken.order.unknown_keys


def test_only_so_many_run_and_are_remembered() -> None:
    book, orders = Book(LEDGER, KEYS), [an_order(id=_id(at)) for at in range(RUNNING_MAX + 1)]
    assert [take(book, one) for one in orders] == [None] * RUNNING_MAX + [Refusal.TOO_MANY]
    assert take(book, end_of(orders[0], issued_ms=NOW)) is None
    assert take(book, orders[-1]) is None
    for at in range(100, 100 + 2 * REMEMBERED_MAX):
        order = an_order(id=_id(at))
        assert take(book, end_of(order, issued_ms=NOW)) is None
    assert len(book._ends) == REMEMBERED_MAX  # noqa: SLF001 - the bound itself
    assert len(book.running(0.0)) == RUNNING_MAX


def test_it_covers_its_account_and_its_product_and_no_other() -> None:
    for product, covered in ((None, {None, PRODUCT, POLICY}), (PRODUCT, {PRODUCT})):
        book = Book(LEDGER, KEYS)
        assert take(book, an_order(product=product)) is None
        [taken] = book.running(0.0)
        assert {one for one in (None, PRODUCT, POLICY) if taken.covers(ACCOUNT, one)} == covered
        assert not taken.covers(POLICY, product)


def _id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"
