"""One thing goes on while the next is prepared: nothing that fails is lost, nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from projector.rebuild.building import OneAhead


async def test_it_goes_on_while_the_next_is_prepared_and_no_more_than_one_does() -> None:
    going, most, done = 0, 0, []

    async def write(number: int) -> None:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0.01)
        going -= 1
        done.append(number)

    async with OneAhead() as ahead:
        for number in range(4):
            await ahead.do(write(number))
            assert going == 1, "it is on its way before anything else is prepared"
    assert (done, most, going) == ([0, 1, 2, 3], 1, 0)


@pytest.mark.parametrize("failing", [0, 2], ids=["an earlier one", "the last one"])
async def test_what_fails_is_raised(failing: int) -> None:
    async def write(number: int) -> None:
        await asyncio.sleep(0.01)
        if number == failing:
            raise ConnectionError

    async def all_written() -> None:
        async with OneAhead() as ahead:
            for number in range(3):
                await ahead.do(write(number))

    with pytest.raises(ConnectionError):
        await all_written()


async def test_what_is_on_its_way_ends_with_what_failed_beside_it() -> None:
    ended = []

    async def write() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def failing() -> None:
        async with OneAhead() as ahead:
            await ahead.do(write())
            raise ValueError("rendering")

    with pytest.raises(ValueError, match="rendering"):
        await failing()
    assert ended == [True]
