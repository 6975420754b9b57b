"""What a drill saw, put together for the reports."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from cli.drill import script
from cli.drill.clients import Asked
from cli.drill.judging import judge
from cli.drill.losses import Launched, lost_minutes
from cli.drill.outcome import FORMAT, Machine, Outcome, Side, SideName
from cli.drill.play import Play
from cli.drill.tally import figures, seconds
from cli.local.kafka import find_jars
from cli.local.programs import CACHE

_GB: Final = 1 << 30
_ASK_S: Final = 5.0


def outcome(
    play: Play,
    asked: Mapping[SideName, Sequence[Asked]],
    *,
    began: str,
    took_s: float,
    tier: str,
    separated: str,
    versions: dict[str, str],
) -> Outcome:
    """The outcome of a drill whose phases have ended."""
    naive, ledger = (_side(name, asked[name], play) for name in SideName)
    return Outcome(
        format=FORMAT,
        began=began,
        took_s=round(took_s, 1),
        tier=tier,
        machine=_machine(separated),
        versions=versions,
        launches_per_s=script.LAUNCHES_PER_S,
        activations_per_s=script.ACTIVATIONS_PER_S,
        client_timeout_s=script.TIMEOUT_S,
        neutralized=play.neutralized,
        phases=play.phases,
        moments=play.moments,
        sides=[naive, ledger],
        verdict=judge(play.phases, naive=naive.phases, ledger=ledger.phases),
        not_reproduced=script.NOT_REPRODUCED,
    )


def _side(name: SideName, asked: Sequence[Asked], play: Play) -> Side:
    title, about = script.TITLES[name]
    end_s = play.phases[-1].to_s
    launches = [
        Launched(at_s=one.at_s, client=one.client, started=one.started)
        for one in asked
        if one.launch
    ]
    return Side(
        name=name,
        title=title,
        about=about,
        seconds=seconds(asked, end_s),
        phases=[figures(asked, phase) for phase in play.phases],
        lost_minutes=lost_minutes(launches, end_s),
    )


def _machine(separated: str) -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        cores=os.cpu_count() or 1,
        memory_gb=round(memory / _GB, 1),
        separated=separated,
    )


def versions(postgres: str) -> dict[str, str]:
    """Versions of what was in the drill, by name."""
    redis = _said("redis-server", "--version")
    return {
        "license-ledger": version("license-ledger"),
        "Python": platform.python_version(),
        "Postgres": postgres,
        "Kafka": find_jars(CACHE).name.partition("-")[2],
        "Redis": next((word[2:] for word in redis.split() if word.startswith("v=")), ""),
        "FastAPI, psycopg": f"{version('fastapi')}, {version('psycopg')}",
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
