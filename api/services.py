"""What the routes work with: the parts of one worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from api.catalog.commands import CatalogCommands
from api.catalog.reading import Catalog
from api.checking import Checker
from api.checking_many import ManyChecker
from api.clock import Clock
from api.commands import Commands
from api.data_keys import DataKeys
from api.doorkeeper import Doorkeeper
from api.emergency.grace import Grace
from api.emergency.orders import EmergencyOrders
from api.fan_out import FanOut
from api.finding import Finder
from api.lists import Lists
from api.metrics import Metrics
from api.noticing import Noticing
from api.positions import position_of
from api.repeating import Repeating
from api.replicas import Replicas
from api.throttle import Throttle
from ledger.domain.identifiers import Pepper


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Parts of a worker. `writes_closed`: why nothing can be written now, None where it can."""

    pepper: Pepper
    catalog: Catalog
    doorkeeper: Doorkeeper
    clock: Clock
    repeating: Repeating
    replicas: Replicas
    finder: Finder
    checker: Checker
    many_checker: ManyChecker
    lists: Lists
    data_keys: DataKeys
    commands: Commands
    catalog_commands: CatalogCommands
    noticing: Noticing
    fan_out: FanOut
    emergency: EmergencyOrders
    grace: Grace
    metrics: Metrics
    throttle: Throttle
    writes_max: int
    writes_closed: Callable[[], str | None]

    def position(self, license_: str, offset: int) -> str:
        """Position as answers name it: ledger, partition and offset."""
        partition = self.replicas.partition_of(license_)
        return position_of(self.catalog.ledger, partition, offset)
