"""Checks what lies around the tiers: folder, spool, versions of the encoder, query engine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from agent_memory.compression.fitted.artifact import from_bytes
from agent_memory.config import MemoryConfig
from agent_memory.connections.deployment import Deployment
from agent_memory.connections.embedded.manifest import read_manifest
from agent_memory.connections.folder_record import check_folder
from agent_memory.embeddings.registry import read_version
from agent_memory.errors import (
    EncodingError,
    MemoryStoreError,
    NewerFormat,
    SearchIndexError,
    StoreUnavailable,
)
from agent_memory.repositories.redis.tier_search import TierSearch
from agent_memory.repositories.sql.encoders import EncoderVersions
from agent_memory.system.checking.job import REPAIR, UPGRADE, Job
from agent_memory.system.checking.validation import Validator
from agent_memory.tiers.intake import Intake
from agent_memory.tiers.spool import Spool
from agent_memory.tiers.waiting import decoded
from agent_memory.values.check_report import Kind
from agent_memory.values.entry import Tier

_ROUNDS = 3  # how often a number is compared that changes while others store


def check_folder_records(job: Job, config: MemoryConfig, where: Deployment) -> None:
    """Look at what the folder records of how it was made."""
    if where.engine != "embedded":
        return
    job.looked("folder records", 2)
    try:
        check_folder(config, where)
        read_manifest(where.path)
    except MemoryStoreError as error:
        job.findings.add(Kind.FOLDER, str(where.path), str(error), "as the message says")


def check_spool(job: Job, intake: Intake, spool: Spool | None) -> None:
    """Store what waits, if that is to be mended, and look at what cannot be stored."""
    if spool is None or not spool.exists:
        return
    with contextlib.closing(spool):
        if job.repair:
            try:
                intake.replay()
            except MemoryStoreError as error:
                job.findings.unfinished.append(f"what waits in {spool.file}: {error}")
        try:
            _check_waiting(job, spool)
        except StoreUnavailable as error:
            job.findings.add(
                Kind.SPOOL, str(spool.file), str(error), "as the message says, or move the file"
            )


def _check_waiting(job: Job, spool: Spool) -> None:
    for waiting in spool.all_waiting():
        job.looked("entries in the spool", 1)
        try:
            decoded(waiting)
        except NewerFormat as error:
            place = f"{spool.file}, entry {waiting.number}"
            job.findings.add(Kind.NEWER, place, str(error), UPGRADE)
        except EncodingError as error:
            place = f"{spool.file}, entry {waiting.number}"
            done = job.keep(place, str(error), {"entry": waiting.coded})
            if done:
                spool.done([waiting.number])
            means = f"{error}; its bytes are in {job.quarantine_place}" if done else str(error)
            by_hand = f"{REPAIR}, which quarantines it"
            job.findings.add(Kind.SPOOL, place, means, by_hand, repaired=done)
    refused = spool.status().refused
    if refused:
        job.findings.add(
            Kind.SPOOL,
            str(spool.file),
            f"{refused} entries were refused by the server, and wait",
            f"see the column refused; then {REPAIR}",
        )


def check_versions(job: Job, validator: Validator, versions: EncoderVersions) -> None:
    """Look at every registered version of the encoder; to be called when all entries were met."""
    for record in versions.records():
        if record.version == 0:
            continue
        job.looked("versions of the encoder", 1)
        with_vector = validator.without_encoder.pop(record.version, 0)
        coded = validator.without_code.pop(record.version, 0)
        used = with_vector + coded > 0
        kind, why, by_hand = _version_fault(record.version, versions, used=used)
        if why:
            counts = with_vector, coded
            _report_version(job, record.version, why, *counts, kind=kind, by_hand=by_hand)
        elif coded:
            _report_version(job, record.version, "has no code of contents", 0, coded)
    # Those that nobody has ever noted in long-term memory, or of a code that is not read.
    for version in sorted({*validator.without_encoder, *validator.without_code}):
        with_vector, coded = validator.without_encoder[version], validator.without_code[version]
        _report_version(job, version, "is not registered", with_vector, coded)


def _version_fault(version: int, versions: EncoderVersions, *, used: bool) -> tuple[Kind, str, str]:
    """What is wrong with a version, and how to mend it if that is not by its row; else empty."""
    try:
        weights, code = versions.artifact(version), versions.code(version)
        if weights is None and used:
            return Kind.VERSION, "is not registered", ""
        if weights is not None:
            read_version(weights)
        if code is not None:
            from_bytes(code)
    except NewerFormat as error:
        return Kind.NEWER, str(error), UPGRADE
    except EncodingError as error:
        return Kind.VERSION, f"is damaged ({error})", ""
    return Kind.VERSION, "", ""


def _report_version(
    job: Job,
    version: int,
    what: str,
    with_vector: int,
    coded: int,
    *,
    kind: Kind = Kind.VERSION,
    by_hand: str = "",
) -> None:
    restored = "restore its row from a backup"
    mended = restored if coded else f"{restored}, or: agent-memory encoder reencode"
    job.findings.add(
        kind,
        f"version {version} of the encoder",
        f"{what}; the vectors of {with_vector} entries are not compared, and the contents of "
        f"{coded} cannot be read; they stay as they are",
        by_hand or mended,
    )


def check_search(job: Job, searches: Mapping[Tier, TierSearch]) -> None:
    """Look whether the indexes of the query engine hold every entry."""
    for tier, search in searches.items():
        if not search.entries.stands:
            continue
        job.looked("indexes of the query engine", 1)
        why = _search_fault(job, tier, search)
        if why is None:
            continue
        repaired = False
        if job.repair:
            try:
                search.rebuild()
                repaired = _search_fault(job, tier, search) is None
            except SearchIndexError as error:
                job.findings.unfinished.append(str(error))
        place = f"{tier.name}, index {search.entries.alias} of {search.namespace}"
        job.findings.add(Kind.SEARCH, place, why, REPAIR, repaired=repaired)


def _search_fault(job: Job, tier: Tier, search: TierSearch) -> str | None:
    repository = job.tiers[tier]
    means = ""
    for _ in range(_ROUNDS):
        before = sum(repository.upkeep.entries_by_run().values())
        held = search.entries.documents()
        after = sum(repository.upkeep.entries_by_run().values())
        if held is None or min(before, after) <= held <= max(before, after):
            return None
        means = f"holds {held} of {after} entries: find() leaves some out, or finds what is gone"
    return means
