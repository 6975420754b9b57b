"""What the naive service is sent: the same bodies as ours, so that one load fits both."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel


class Scope(BaseModel):
    """What a check is for."""

    fingerprint: str | None = None


class CheckMeta(BaseModel):
    """Key and scope of a check."""

    key: str
    scope: Scope = Scope()


class Check(BaseModel):
    """Body of a check."""

    meta: CheckMeta


class Attributes(BaseModel):
    """Attributes of a new machine."""

    fingerprint: str
    hostname: str | None = None


class Identifier(BaseModel):
    """Id of the license."""

    id: UUID


class Linkage(BaseModel):
    """Relationship to the license."""

    data: Identifier


class Relationships(BaseModel):
    """Relationships of a new machine."""

    license: Linkage


class Data(BaseModel):
    """A new machine."""

    attributes: Attributes
    relationships: Relationships


class Machine(BaseModel):
    """Body of an activation."""

    data: Data
