"""The brokers' disks as they tell of them: what is free there, and what each partition takes.

Kafka's DescribeLogDirs, version 4 (KIP-827, since Kafka 3.3), which aiokafka doesn't have. Sizes
are those of the log's segments; indexes and the brokers' own metadata are not in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from msgspec import Struct

from ledger.connections import KafkaBrokers
from ledger.event_log.clients import BrokersRefuse, Starts
from ledger.event_log.port import LogUnavailable

VOLUMES_TIMEOUT_S: Final = 3.0
_REQUEST_MS: Final = 2_000
_NOT_ALLOWED: Final = 31
_UNKNOWN: Final = -1
_TOO_OLD: Final = "the brokers tell nothing of their disks before Kafka 3.3"


class Volume(Struct, frozen=True, kw_only=True):
    """A log folder of a broker (its number), and the disk that it is on.

    `total`, `usable`: bytes of the disk, None where the broker doesn't tell. `sizes`: bytes of each
    partition, by the topic's name and its number. `trouble`: why nothing of it is known, or empty.
    """

    broker: int
    folder: str
    total: int | None
    usable: int | None
    sizes: Mapping[tuple[str, int], int]
    trouble: str = ""


async def volumes(kafka: KafkaBrokers) -> list[Volume]:
    """Ask each broker that the cluster has now; one that doesn't answer is told with its trouble.

    Raises `LogUnavailable` where none answers within `VOLUMES_TIMEOUT_S`, they are too old, or
    don't let this user ask.
    """
    admin = AIOKafkaAdminClient(**kafka.arguments(), request_timeout_ms=_REQUEST_MS)
    starts = Starts(kafka)
    try:
        async with asyncio.timeout(VOLUMES_TIMEOUT_S):
            await starts.start(admin, admin.close)
            nodes, answers = await _asked(admin)
    except (IncompatibleBrokerVersion, NotImplementedError):
        raise LogUnavailable(_TOO_OLD) from None
    except BrokersRefuse as refused:
        raise LogUnavailable(str(refused)) from None
    except (KafkaError, OSError, TimeoutError):
        raise LogUnavailable(f"{kafka.named} does not tell of its disk") from None
    finally:
        await starts.close()
    return [
        one
        for node, answer in zip(nodes, answers, strict=True)
        for one in _volumes_of(node, answer)
    ]


async def _asked(admin: AIOKafkaAdminClient) -> tuple[list[int], list[Any]]:
    """The brokers' numbers, and what each answered or raised; then it is closed."""
    client = admin._client  # noqa: SLF001 - it has no such request of its own
    try:
        nodes = sorted(broker.nodeId for broker in client.cluster.brokers())
        asked = (client.send(node, _DescribeLogDirsRequest()) for node in nodes)
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await admin.close()
    _raise_if_all_failed(answers)
    return nodes, answers


def _raise_if_all_failed(answers: Sequence[object]) -> None:
    failed = [one for one in answers if isinstance(one, BaseException)]
    if len(failed) == len(answers):
        raise failed[0] if failed else TimeoutError


def _volumes_of(node: int, answer: Any) -> list[Volume]:  # noqa: ANN401 - it comes without types
    if isinstance(answer, BaseException):
        why = f"it doesn't answer ({type(answer).__name__})"
        return [Volume(broker=node, folder="", total=None, usable=None, sizes={}, trouble=why)]
    if answer.error_code == _NOT_ALLOWED:
        raise LogUnavailable(
            "this user may not ask the brokers for their disks: allow it DESCRIBE on the cluster"
        )
    if answer.error_code:
        raise LogUnavailable(f"broker {node} does not tell of its disk: error {answer.error_code}")
    return [
        Volume(
            broker=node,
            folder=folder,
            total=None if total == _UNKNOWN else total,
            usable=None if usable == _UNKNOWN else usable,
            sizes={
                (topic, partition): size
                for topic, partitions, _ in topics
                for partition, size, _, is_future, _ in partitions
                if not is_future
            },
            trouble=f"{folder} failed: Kafka's error {code}" if code else "",
        )
        for code, folder, topics, total, usable, _ in answer.results
    ]


class _DescribeLogDirsResponse(Response):  # type: ignore[misc] # comes without types
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirs(RequestStruct):  # type: ignore[misc] # comes without types
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = _DescribeLogDirsResponse
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirsRequest(Request[_DescribeLogDirs]):  # type: ignore[misc] # comes without types
    API_KEY = 35

    def build(self, request_struct_class: type[_DescribeLogDirs]) -> _DescribeLogDirs:
        """Ask for all topics."""
        return request_struct_class(None, {})
