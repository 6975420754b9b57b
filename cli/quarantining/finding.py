"""Which license is meant, whether there is one, and which replica didn't say."""

from __future__ import annotations

from collections.abc import Sequence

from cli.quarantining.looking import Held
from cli.replica import Replicas
from cli.trouble import Failed, Missing
from ledger.domain.identifiers import partition_of


async def meant(
    replicas: Replicas, held: Sequence[Held], names: Sequence[str], partitions: int
) -> str:
    """Return which of the ids is meant: one that is frozen somewhere, else one that there is.

    Raises `Missing` where no replica knows any of them, `Failed` where not all have said so;
    `RedisError`.
    """
    frozen = {it.license for one in held for it in one.frozen}
    found = next((name for name in names if name in frozen), None)
    if found is not None:
        return found
    for one in held:
        if one.trouble is None:
            client = replicas.clients[ord(one.letter) - ord("A")]
            keys = [one.names(partition_of(name, partitions)).license(name) for name in names]
            documents = await client.mget(keys)
            found = next((name for name, it in zip(names, documents, strict=True) if it), None)
            if found is not None:
                return found
    said = f"there is no license {names[0]}, by its id or the id that its key has"
    if any(one.trouble for one in held):
        raise Failed(f"{said}, as far as it can be told{silence(held)}")
    raise Missing(f"{said}: `ledger license list` shows what there is")


def silence(held: Sequence[Held]) -> str:
    """Say which replicas didn't answer, after "as far as"; nothing where all did."""
    silent = [f"replica {one.letter} doesn't answer ({one.trouble})" for one in held if one.trouble]
    return "".join(f"; {one}" for one in silent)
