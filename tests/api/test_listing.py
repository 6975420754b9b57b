"""Lists: pages, filters and links, as they are asked for."""

from __future__ import annotations

import pytest

from api.listing import listing
from api.problems import Problem


@pytest.mark.parametrize(
    ("query", "size", "start", "after"),
    [
        (b"", 10, 0, None),
        (b"limit=3", 3, 0, None),
        (b"limit=100", 100, 0, None),
        (b"page[number]=3&page[size]=20", 20, 40, None),
        (b"page%5Bnumber%5D=2", 10, 10, None),
        (b"page[size]=7", 7, 0, None),
        (b"page[cursor]=&page[size]=5", 5, 0, None),
        (b"page[cursor]=AB&page[size]=5", 5, 0, "ab"),
    ],
)
def test_the_page_that_is_asked_for(query: bytes, size: int, start: int, after: str | None) -> None:
    page = listing(query, ()).page
    assert (page.size, page.start, page.after) == (size, start, after)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"limit=0", "limit"),
        (b"limit=101", "limit"),
        (b"limit=x", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=", "limit"),
        (b"limit=99999999999999999999", "limit"),
        (b"limit=000000001999", "limit"),
        (b"limit=null&page[number]=1", "limit"),
        (b"page[number]=x&page[cursor]=", "page[number]"),
        (b"page[number]=101", "page[number]"),
        (b"page[number]=0", "page[number]"),
        (b"page[size]=101&page[cursor]=", "page[size]"),
    ],
)
def test_a_page_out_of_range_is_named(query: bytes, parameter: str) -> None:
    with pytest.raises(Problem) as caught:
        listing(query, ())
    assert caught.value.status == 400
    assert caught.value.error.source == {"parameter": parameter}


def test_a_filter_that_is_not_offered_is_named() -> None:
    for name in ("owner", "metadata[plan]", "statuss"):
        with pytest.raises(Problem) as caught:
            listing(f"{name}=x".encode(), ("status",))
        assert (caught.value.status, caught.value.code) == (400, "FILTER_NOT_SUPPORTED")
        assert caught.value.error.source == {"parameter": name}
        assert "status" in caught.value.error.detail


def test_a_parameter_that_is_there_twice_is_named() -> None:
    with pytest.raises(Problem) as caught:
        listing(b"status=ACTIVE&product=x&status=EXPIRED", ("status", "product"))
    assert (caught.value.status, caught.value.code) == (400, "PARAMETER_REPEATED")
    assert caught.value.error.source == {"parameter": "status"}


def test_filters_and_credentials_are_kept_apart() -> None:
    asked = listing(
        b"status=ACTIVE&metadata%5Bplan%5D=%22gold%22&token=secret&limit=5", ("status", "metadata")
    )
    assert asked.filters["status"] == "ACTIVE"
    assert asked.metadata == {"plan": '"gold"'}
    links = str(
        listing(b"token=secret&page[size]=5", ()).links("/x", last_id="i", more=True, count=9)
    )
    assert "secret" not in links


def test_links_of_numbered_pages() -> None:
    asked = listing(b"status=ACTIVE&page[number]=2&page[size]=5", ("status",))
    links = asked.links("/p", last_id="i", more=True, count=12)
    assert isinstance(links, dict)
    assert links["prev"] == "/p?status=ACTIVE&page%5Bnumber%5D=1&page%5Bsize%5D=5"
    assert links["next"] == "/p?status=ACTIVE&page%5Bnumber%5D=3&page%5Bsize%5D=5"
    assert links["last"] == links["next"]
    assert links["meta"] == {"pages": 3, "count": 12}
    first = listing(b"page[number]=1", ()).links("/p", last_id="i", more=False, count=1)
    assert isinstance(first, dict)
    assert (first["prev"], first["next"]) == (None, None)


def test_links_of_a_cursor_and_of_none() -> None:
    cursor = listing(b"page[cursor]=&page[size]=5", ())
    links = cursor.links("/p", last_id="an-id", more=True, count=None)
    assert isinstance(links, dict)
    assert links["next"] == "/p?page%5Bcursor%5D=an-id&page%5Bsize%5D=5"
    ended = cursor.links("/p", last_id="an-id", more=False, count=None)
    assert isinstance(ended, dict)
    assert ended["next"] is None
    assert listing(b"limit=5", ()).links("/p", last_id="i", more=True, count=None) == {}
