"""Users and rights in the secure local brokers: SCRAM credentials and ACLs, set at each start.

Setting them anew is harmless, so a folder that ran without security needs nothing else. They go to
the controller, where a broker's own certificate may do everything, in requests of Kafka's
protocol; a tool of Kafka's would take the passwords as arguments, which everybody may read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from cli.local.security import USERS, Security
from ledger.event_log.clients import connected
from ledger.event_log.port import LogUnavailable

ITERATIONS: Final = 4096
"""Kafka's least; the passwords are random, so more would only slow the start down."""
_SALT_BYTES: Final = 16
_TIMEOUT_S: Final = 5.0
_SCRAM_SHA_512: Final = 2
_TOPIC, _GROUP, _CLUSTER = 2, 3, 4
_LITERAL, _PREFIXED = 3, 4
_READ, _WRITE, _DESCRIBE = 3, 4, 8
_ALLOW: Final = 3
_RIGHTS: Final = (
    # The API appends, and reads topics without a group; a projector reads in its own.
    *(("api", _TOPIC, "*", _LITERAL, operation) for operation in (_READ, _WRITE, _DESCRIBE)),
    *(("projector", _TOPIC, "*", _LITERAL, operation) for operation in (_READ, _DESCRIBE)),
    ("projector", _GROUP, "projector-", _PREFIXED, _READ),
    # It asks the brokers how full their disks are.
    ("projector", _CLUSTER, "kafka-cluster", _LITERAL, _DESCRIBE),
)


class _AlterUserScramCredentialsResponse(Response):  # type: ignore[misc] # comes without types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUserScramCredentials(RequestStruct):  # type: ignore[misc] # comes without types
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterUserScramCredentialsResponse
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Asked:
    """A request in the one version that this module writes; Kafka 4 has it."""

    def __init__(self, struct: RequestStruct) -> None:
        self._struct = struct

    def prepare(self, _: object) -> RequestStruct:
        """The request itself, whatever versions there are."""
        return self._struct


async def set_up(security: Security, *controller_ports: int) -> None:
    """Give the users their passwords and rights. Raises `LogUnavailable` until they have them.

    Of several controllers one is active and takes them: each is asked until one does.
    """
    for port in controller_ports[:-1]:
        with suppress(LogUnavailable):
            await _set_up(security, port)
            return
    await _set_up(security, controller_ports[-1])


async def _set_up(security: Security, port: int) -> None:
    controller = security.controller(port)
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            connected(controller, controller.bootstrap) as connection,
        ):
            scram = await connection.send(_Asked(_credentials(security)))
            rights = await connection.send(_Asked(_acls()))
    except (KafkaError, OSError, TimeoutError) as error:
        kind = type(error).__name__
        raise LogUnavailable(f"the controller takes no users ({kind})") from None
    _check((code, message) for _, code, message, *_ in scram.results)
    _check((code, message) for code, message, *_ in rights.creation_responses)


def _credentials(security: Security) -> RequestStruct:
    rows: list[tuple[object, ...]] = []
    for user in USERS:
        salt = os.urandom(_SALT_BYTES)
        salted = hashlib.pbkdf2_hmac("sha512", security.password(user).encode(), salt, ITERATIONS)
        rows.append((user, _SCRAM_SHA_512, ITERATIONS, salt, salted, {}))
    return _AlterUserScramCredentials([], rows, {})


def _acls() -> RequestStruct:
    rows = [
        (kind, name, pattern, f"User:{user}", "*", operation, _ALLOW)
        for user, kind, name, pattern, operation in _RIGHTS
    ]
    return CreateAclsRequest_v1(rows)


def _check(results: Iterable[tuple[Any, Any]]) -> None:
    for code, message in results:
        if code:
            raise LogUnavailable(f"the controller refuses a user or a right: {message or code}")
