"""`python -m api`: one API worker, told by its environment, until SIGTERM or SIGINT.

Exit codes: 0 stopped in order; 1 trouble (started again it may go on); 2 a person has to look:
settings, or a log that isn't this ledger's.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Final

from api.app import build_app, build_services
from api.catalog.reading import Catalog
from api.ending import end
from api.fast_lane import FastLane
from api.log_end import LogEnd, farthest
from api.logs import AccessLog, alarm, say, set_up
from api.renewal import Held, follow
from api.replicas import Replicas
from api.serving import Server, listeners, make_server
from api.settings import ApiSettings, read_api_settings
from api.start import Gatekeeper, NotReadyError, Origin
from ledger.connections import KafkaBrokers, client_context
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import ForeignLog, Topics
from ledger.settings import SettingsError

_CLOSE_S: Final = 0.4

_log: Final = logging.getLogger("api")


def main() -> int:
    """Run a worker; the process' exit code."""
    set_up()
    try:
        settings = read_api_settings(os.environ)
    except SettingsError as error:
        say(_log, logging.ERROR, str(error))
        return 2
    say(_log, logging.INFO, "starting", settings=repr(settings))
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return asyncio.run(_main(settings))
    return uvloop.run(_main(settings))


async def _main(settings: ApiSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    shared = settings.ledger
    replicas = Replicas(shared.replicas, shared.partitions, shared.local_copy)
    log = KafkaLog(shared.kafka, Topics(prefix=shared.topic_prefix))
    access_log = AccessLog(enabled=settings.access_log)
    try:
        return await _work(settings, log, replicas, access_log, stop)
    except ForeignLog as error:
        alarm(_log, "foreign-log", str(error))
        return 2
    except (NotReadyError, OSError) as error:
        say(_log, logging.ERROR, str(error))
        return 1
    except Exception:  # noqa: BLE001 - it is logged, and the process ends
        _log.exception("the worker failed")
        return 1
    finally:
        access_log.flush()
        for close in (log.close, replicas.stop):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await close()


async def _work(
    settings: ApiSettings,
    log: KafkaLog,
    replicas: Replicas,
    access_log: AccessLog,
    stop: asyncio.Event,
) -> int:
    """Start, serve until told to stop or until the log turns out to be foreign."""
    sockets = listeners(settings)
    await replicas.start()
    stopping = asyncio.create_task(stop.wait())
    origin = Origin(log, replicas, settings.ledger)
    try:
        telling = asyncio.create_task(origin.told())
        await asyncio.wait((telling, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
            return 0
        first, gatekeeper = telling.result(), Gatekeeper(log)
        services = build_services(
            settings,
            catalog=Catalog(
                ledger=first.ledger,
                settings=settings.ledger.catalog,
                replicas=replicas,
                log=gatekeeper,
            ),
            log=gatekeeper,
            replicas=replicas,
            writes_closed=lambda: gatekeeper.closed,
        )
        app = build_app(services, settings, access_log)
        lane = FastLane(services, app.crowd, access_log)
        server = make_server(app, settings, lane)
        renewed = _renewed(server, settings.ledger.kafka)
        serving = asyncio.create_task(server.serve(list(sockets)))
        copy = replicas.local_copy
        known = [*replicas.standings, *([] if copy is None else [copy])]
        log_end = LogEnd(log, lambda: farthest(known))
        opening = asyncio.create_task(_open(origin, gatekeeper, log_end))
        beside = [
            asyncio.create_task(part)
            for part in (
                services.noticing.run(),
                services.fan_out.run(),
                services.emergency.run(),
                follow(renewed),
                app.pressure.run(),
            )
        ]
        # What has been made until now stays: no collection has to walk over it again.
        gc.collect()
        gc.freeze()
        say(_log, logging.INFO, "serving", ledger=first.ledger)
        await _until_any(stopping, serving, opening)
        say(_log, logging.INFO, "stopping")
        server.should_exit = True
        await serving
        if opening.done():
            opening.result()
        opening.cancel()
        await end(beside)
        await services.emergency.stop()
        return 0
    finally:
        await origin.close()


def _renewed(server: Server, kafka: KafkaBrokers) -> list[Held]:
    """Certificates to be followed: the worker's own, and the one that it shows to Kafka."""
    held = server.certificates()
    if kafka.has_tls and kafka.certificate_file:
        context = client_context(kafka.ca_file, kafka.certificate_file, kafka.key_file)
        held.append(
            Held(context=context, certificate_file=kafka.certificate_file, key_file=kafka.key_file)
        )
    return held


async def _until_any(
    stopping: asyncio.Task[bool], serving: asyncio.Task[None], opening: asyncio.Task[None]
) -> None:
    """Wait until it is told to stop, or can't serve; or the log turned out to be foreign."""
    await asyncio.wait((stopping, serving, opening), return_when=asyncio.FIRST_COMPLETED)


async def _open(origin: Origin, gatekeeper: Gatekeeper, log_end: LogEnd) -> None:
    """Let writes in once the log is known to be this ledger's, and while it is whole.

    Raises `ForeignLog`.
    """
    await origin.verified()
    say(_log, logging.INFO, "the log is this ledger's")
    await log_end.follow(gatekeeper)


if __name__ == "__main__":
    sys.exit(main())
