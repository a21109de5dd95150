"""Looks whether a version of the encoder can be removed without making an entry unreadable."""

from __future__ import annotations

from agent_memory.errors import EncoderInUse
from agent_memory.tiers.forgetting import Tiers
from agent_memory.tiers.intake import Intake


def refuse_if_needed(version: int, tiers: Tiers, intake: Intake) -> None:
    """See that no entry has a version's vector, or contents in its code.

    Args:
        version: The version.
        tiers: The repositories, richest tier first.
        intake: Where entries wait for short-term memory.

    Raises:
        EncoderInUse: Some entry has; the message says how many, and what to do.
        StoreUnavailable: A tier or the spool does not answer.
    """
    # In the direction that entries move, so that none on its way is missed.
    waiting = [entry.encoder_version for _, entry in intake.spooled()]
    needed = {"spool": (waiting.count(version), 0)} | {
        repository.tier.name: (
            repository.encodings.versions().get(version, 0),
            repository.encodings.code_versions().get(version, 0),
        )
        for repository in tiers
    }
    if not any(map(any, needed.values())):
        return
    counts = "; ".join(
        f"{name}: {vectors} vectors, contents of {contents}"
        for name, (vectors, contents) in needed.items()
        if vectors or contents
    )
    raise EncoderInUse(
        f"version {version} of the encoder is needed by entries ({counts}): re-encode them first "
        "(encoders.reencode(), encoders.recode()), those in the spool once they are stored "
        "(maintain()); contents that lie on lattices of its own need it for as long as they are "
        "kept"
    )
