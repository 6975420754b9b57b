"""Write a sample of a FlexLM log's activity as CSV, with users and hosts numbered anew.

python examples/make_sample.py LOG --timezone Europe/Madrid --days 4 FEATURE… > activity.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from ledger.domain.clocks import rfc3339
from ledger.sources.activity import Activity, Pairing
from ledger.sources.activity_csv import COLUMNS
from ledger.sources.flexlm import FlexlmParser

DAY_MS = 86_400_000


def main() -> None:
    """Read the log, write the sample to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("features", nargs="+")
    parser.add_argument("--timezone", default="UTC")
    parser.add_argument("--days", type=int, default=4)
    asked = parser.parse_args()
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(_rows(asked))


def _rows(asked: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    users: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for activity in _moving(asked):
        if activity.feature in asked.features:
            user = users.setdefault(activity.user, f"user-{len(users) + 1:04d}")
            host = hosts.setdefault(activity.host, f"host-{len(hosts) + 1:04d}")
            time = rfc3339(activity.at_ms)
            yield (time, activity.feature, activity.action, user, host, activity.seats)


def _moving(asked: argparse.Namespace) -> Iterator[Activity]:
    """Yield what takes or gives seats in the first days."""
    parser, pairing = FlexlmParser(ZoneInfo(asked.timezone)), Pairing()
    first_ms = None
    with asked.log.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            activity = parser(number, raw)
            if not isinstance(activity, Activity) or pairing.move(activity) is None:
                continue
            first_ms = first_ms or activity.at_ms
            if activity.at_ms > first_ms + asked.days * DAY_MS:
                return
            yield activity


if __name__ == "__main__":
    main()
