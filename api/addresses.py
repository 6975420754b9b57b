"""From which address a request comes where proxies stand in between. Pure.

An address is counted by and never shown: not in a log, not in a figure, not in an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDED: Final = b"x-forwarded-for"
_NEAR: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Loopback, private, link-local, and what carriers and clouds share: nobody comes from there over
the internet, but a proxy of one's own does."""
_SITE_BITS: Final = 64


def networks(text: str) -> tuple[Network, ...]:
    """Networks of a list with commas (`10.1.0.0/16, 2001:db8::7`); raises ValueError."""
    parts = (part.strip() for part in text.split(","))
    return tuple(ip_network(part, strict=False) for part in parts if part)


def client_of(
    peer: str | None, forwarded: Sequence[bytes], proxies: Sequence[Network]
) -> Address | None:
    """Address of who asks: the peer, or whom the last of our own proxies has named.

    `forwarded`: values of X-Forwarded-For in their order. None where it can't be told, such as
    for a proxy that names nobody: then nobody is to be blamed.
    """
    address = _address(peer or "")
    if address is None or not _in(address, proxies):
        return address
    named = [part for value in forwarded for part in value.decode("latin-1").split(",")]
    for part in reversed(named):
        address = _address(part)
        if address is None or not _in(address, proxies):
            return address
    return None


def is_near(address: Address) -> bool:
    """Whether nobody comes from this address over the internet, so that it may be a proxy."""
    return _in(address, _NEAR)


def subject_of(address: Address) -> int:
    """What is counted by: an address of IPv4, of IPv6 the site (/64), which has 2^64 of them."""
    number = int(address)
    return number if address.version == 4 else -(number >> _SITE_BITS) - 1  # noqa: PLR2004


def _in(address: Address, known: Iterable[Network]) -> bool:
    return any(address in network for network in known)


def _address(text: str) -> Address | None:
    """Address of `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
