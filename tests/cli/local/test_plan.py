"""Ports: our defaults, what a person names, and what happens when one is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli.local.plan import DEFAULTS, MORE_BROKERS, WORKERS, PortError, Wish, choose, parse

NOTHING = Wish(named={}, auto=False)


def none_taken(_: int) -> bool:
    return False


def taken(*ports: int) -> Callable[[int], bool]:
    return lambda port: port in ports


def test_without_a_wish_the_defaults_are_taken() -> None:
    ports = choose(NOTHING, taken=none_taken)
    assert dict(ports.by_name) == DEFAULTS
    assert list(ports.workers) == [DEFAULTS["workers"] + number for number in range(WORKERS)]


def test_no_default_is_a_port_that_other_servers_usually_have() -> None:
    assert not {5432, 6379, 8080, 8000, 9092, 9093} & set(DEFAULTS.values())


def test_the_defaults_are_apart() -> None:
    assert len(set(choose(NOTHING, taken=none_taken).by_name.values())) == len(DEFAULTS)


def test_a_named_port_is_taken_as_named() -> None:
    assert choose(parse("api=7200, kafka=7300"), taken=none_taken)["api"] == 7200


def test_a_taken_default_is_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(PortError) as error:
        choose(NOTHING, taken=taken(DEFAULTS["api"]))
    text = str(error.value)
    assert str(DEFAULTS["api"]) in text
    assert "--ports api=PORT" in text
    assert "--ports auto" in text


def test_the_last_worker_needs_its_port_too() -> None:
    with pytest.raises(PortError, match=str(DEFAULTS["workers"] + WORKERS - 1)):
        choose(NOTHING, taken=taken(DEFAULTS["workers"] + WORKERS - 1))


def test_auto_leaves_what_is_free_and_moves_what_is_taken() -> None:
    ports = choose(parse("auto"), taken=taken(DEFAULTS["kafka"], DEFAULTS["workers"] + 1))
    assert ports["api"] == DEFAULTS["api"]
    assert ports["kafka"] != DEFAULTS["kafka"]
    assert DEFAULTS["workers"] + 1 not in ports.workers
    everything = [*ports.by_name.values(), *ports.workers[1:]]
    assert len(set(everything)) == len(everything)


def test_auto_never_moves_a_named_port() -> None:
    with pytest.raises(PortError, match="7200") as error:
        choose(parse("auto,api=7200"), taken=taken(7200))
    assert "auto" not in str(error.value)


def test_a_port_named_for_two_is_an_error() -> None:
    with pytest.raises(PortError, match=r"7200 would be .* at once"):
        choose(parse("api=7200,kafka=7200"), taken=none_taken)


def test_a_default_gives_way_to_nothing_that_was_named() -> None:
    with pytest.raises(PortError, match="at once"):
        choose(parse(f"kafka={DEFAULTS['api']}"), taken=none_taken)


@pytest.mark.parametrize(
    "text",
    ["nobody=1", "api", "api=", "api=x", "api=0", "api=65536", "api=-1", "api=²", "workers=65535"],
)
def test_a_wish_that_means_nothing_is_an_error_naming_it(text: str) -> None:
    with pytest.raises(PortError) as error:
        parse(text)
    assert text in str(error.value)


def test_no_wish_is_no_error() -> None:
    assert parse(" , ") == NOTHING


def test_free_ports_that_run_out_are_an_error() -> None:
    with pytest.raises(PortError, match="no free port"):
        choose(parse("auto"), taken=lambda _: True)


def test_three_brokers_have_ports_of_their_own_and_one_broker_none_of_theirs() -> None:
    three = choose(NOTHING, brokers=3, taken=none_taken)
    ports = [*three.brokers(3), *three.controllers(3)]
    assert ports == [7110, 7112, 7114, 7111, 7113, 7115]
    everything = [*three.by_name.values(), *three.workers[1:]]
    assert len(set(everything)) == len(everything)
    assert not set(MORE_BROKERS) & set(choose(NOTHING, taken=none_taken).by_name)


def test_a_port_of_the_third_broker_can_be_named_and_waits_until_there_is_one() -> None:
    wish = parse("kafka-3=7300")
    assert choose(wish, brokers=3, taken=none_taken).brokers(3) == (7110, 7112, 7300)
    assert choose(wish, taken=taken(7300)).brokers(1) == (7110,)
    with pytest.raises(PortError, match="7300"):
        choose(wish, brokers=3, taken=taken(7300))
