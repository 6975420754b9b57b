"""`python -m projector`: one projector, told by its environment, until SIGTERM or SIGINT.

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
from pathlib import Path
from typing import Final

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import ForeignLog, Topics
from ledger.settings import SettingsError
from projector.live import NotReadyError, Projector
from projector.logs import alarm, say, set_up
from projector.membership import AssignmentSwingsError
from projector.metrics import Metrics, MetricsServer
from projector.read_model.lmdb import LmdbReadModel
from projector.read_model.port import ReadModel
from projector.read_model.redis import RedisReadModel
from projector.settings import LOCAL, ProjectorSettings, read_projector_settings
from projector.slot import SlotTakenError

_GC_THRESHOLD: Final = 50_000
_STOP_S: Final = 2.5
_CLOSE_S: Final = 0.5

_log: Final = logging.getLogger("projector")


def main() -> int:
    """Run a projector; the process' exit code."""
    set_up()
    # What is folded has no cycles; looking for them among all that is kept at hand costs a tenth.
    gc.set_threshold(_GC_THRESHOLD, 50, 50)
    try:
        settings = read_projector_settings(os.environ)
    except SettingsError as error:
        say(_log, logging.ERROR, str(error))
        return 2
    say(_log, logging.INFO, "starting", settings=repr(settings))
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return asyncio.run(_main(settings))
    return uvloop.run(_main(settings))


async def _main(settings: ProjectorSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_project(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        say(_log, logging.INFO, "stopping")
        work.cancel()
        await asyncio.wait([work], timeout=_STOP_S)
        return 0
    return work.result()


async def _project(settings: ProjectorSettings) -> int:
    """Project; give the exit code of what ended it."""
    shared = settings.shared
    model: ReadModel
    if settings.replica == LOCAL:
        model = LmdbReadModel(Path(shared.local_copy), max_bytes=shared.local_copy_max_bytes)
    else:
        model = RedisReadModel(settings.url)
    log = KafkaLog(shared.kafka, Topics(prefix=shared.topic_prefix))
    metrics = Metrics()
    projector = Projector(settings, model, log, metrics)
    server = MetricsServer(metrics, projector.missing)
    try:
        if settings.metrics_port is not None:
            await server.start(settings.metrics_port)
        await projector.run()
    except ForeignLog as error:
        alarm(_log, "foreign-log", str(error))
        return 2
    except SlotTakenError as error:
        alarm(_log, "slot-taken", str(error))
        return 1
    except AssignmentSwingsError as error:
        alarm(_log, "assignment-swings", str(error))
        return 1
    except NotReadyError as error:
        say(_log, logging.ERROR, str(error))
        return 1
    except Exception:  # noqa: BLE001 - it is logged, and the process ends
        _log.exception("the projector failed")
        return 1
    finally:
        await server.stop()
        for part in (log, model):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await part.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
