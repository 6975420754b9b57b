"""Limits of a minute, and from which address a request is."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.addresses import client_of, is_near, networks, subject_of
from api.limits import WINDOW_S, Minute

START_S = 1_800_000_000.0
PROXIES = networks("10.1.0.0/16, 2001:db8:1::/48")

counted = st.lists(
    st.tuples(st.integers(min_value=0, max_value=4), st.floats(min_value=0, max_value=40)),
    max_size=60,
)


@given(counted)
def test_a_count_is_how_often_its_subject_came_in_that_minute(
    coming: list[tuple[int, float]],
) -> None:
    minute, now_s, seen = Minute(3), START_S, list[tuple[int, int]]()
    for subject, later_s in coming:
        now_s += later_s
        count = minute.add(subject, now_s)
        seen.append((subject, int(now_s // WINDOW_S)))
        assert count.count == seen.count(seen[-1])
        assert 0 < count.reset_s - now_s <= WINDOW_S
        assert minute.seen(subject, now_s) == count


@given(counted, st.integers(min_value=1, max_value=4))
def test_memory_is_bounded_and_whoever_came_last_is_remembered(
    coming: list[tuple[int, float]], most: int
) -> None:
    minute = Minute(3, subjects_max=most)
    for subject, _ in coming:
        before = minute.seen(subject, START_S).count
        assert minute.add(subject, START_S).count == before + 1
        assert len(minute) <= most
    for subject in list(dict.fromkeys(subject for subject, _ in reversed(coming)))[:most]:
        assert minute.seen(subject, START_S).count


def test_the_headers_are_those_that_clients_read() -> None:
    minute = Minute(2)
    for _ in range(3):
        count = minute.add("a", START_S + 50)
    assert count.headers() == {
        "Retry-After": "10",
        "X-RateLimit-Window": "1m",
        "X-RateLimit-Count": "3",
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(START_S) + 60),
    }


def test_a_clock_that_was_set_back_begins_a_new_minute() -> None:
    minute = Minute(2)
    minute.add("a", START_S)
    assert minute.add("a", START_S - 61).count == 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # says so itself
        ("10.1.0.9", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.0.9", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # before it: said by the client
        ("10.1.0.9", ["1.2.3.4", "198.51.100.1, 10.1.3.3"], "198.51.100.1"),
        ("10.1.0.9", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.0.9", ["[2001:db8:2::1]:443"], "2001:db8:2::1"),
        ("10.1.0.9", ["2001:db8:2::1"], "2001:db8:2::1"),
        ("2001:db8:1::5", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.0.9", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.1.0.9", [], None),
        ("10.1.0.9", ["10.1.2.3"], None),
        ("10.1.0.9", ["198.51.100.1, unknown"], None),
        (None, ["198.51.100.1"], None),
        ("/a/socket", [], None),
    ],
)
def test_the_client_is_the_last_one_that_no_proxy_of_ours_is(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    found = client_of(peer, [value.encode() for value in forwarded], PROXIES)
    assert found == (None if client is None else ip_address(client))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.9.9",
        "192.168.1.1",
        "100.64.0.1",
        "fd00::1",
        "fe80::1",
    ],
)
def test_a_near_address_may_be_a_proxy_of_ours(text: str) -> None:
    assert is_near(ip_address(text))


@pytest.mark.parametrize("text", ["172.32.0.1", "203.0.113.7", "2001:db8::1", "8.8.8.8"])
def test_what_comes_over_the_internet_is_not_near(text: str) -> None:
    assert not is_near(ip_address(text))


def test_an_ipv6_address_is_counted_with_its_site() -> None:
    subjects = [
        subject_of(ip_address(text))
        for text in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1", "0.0.0.1")
    ]
    assert subjects[0] == subjects[1]
    assert len(set(subjects)) == 3


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/33", "10.0.0.1 10.0.0.2"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        networks(text)
