"""A past verdict: found in the history, and judged again from what the history kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.cli.explanation import explanation
from earmark.config import ConfigError, compile_generation, find_directory, load
from earmark.core.mail import Site
from earmark.core.policy import PolicySet
from earmark.core.record import Record
from earmark.core.rederive import differences, obstacles, received_chain, rederive
from earmark.stores.history import FILE_NAME
from earmark.stores.recall import find, generation_files


def explain_past(key: str, config: Path | None, history: Path | None) -> dict[str, Any]:
    """Return the explanation of a stored verdict. Raises LookupError where there is none, ConfigError, StoreError."""
    path = history or load(find_directory(config)).server.state / FILE_NAME
    record = find(path, key)
    if record is None:
        raise LookupError(f"{path}: no verdict, queue id or Message-ID {key}")
    explained = _explained(record, path)
    if record.shadow_generation:
        shadow = _explained(_as_in_force(record), path)
        explained["shadow"] = {key: shadow[key] for key in ("generation", "recipients", "facts", "rederived")}
    return explained


def _explained(record: Record, path: Path) -> dict[str, Any]:
    policies, missing = _policies_of(record, path)
    site = policies.site if policies else Site()
    return explanation(record, received_chain(record, site), _judged_again(record, policies, missing))


def _as_in_force(record: Record) -> Record:
    """Return the record as it would be had the shadow's policies been in force."""
    facts = [*record.shadow_facts, *record.facts]
    return replace(record, generation=record.shadow_generation, recipients=list(record.shadow), facts=facts)


def _policies_of(record: Record, path: Path) -> tuple[PolicySet | None, str]:
    """Return the policies that judged; where they cannot be had, None and why."""
    files = generation_files(path, record.generation)
    if files is None:
        return None, f"the history has no files of generation {record.generation[:12]}"
    try:
        return compile_generation(files).policies, ""
    except ConfigError as error:
        return None, f"generation {record.generation[:12]} no longer compiles: {error}"


def _judged_again(record: Record, policies: PolicySet | None, missing: str) -> dict[str, Any]:
    reasons = [*([missing] if missing else []), *obstacles(record)]
    found: list[str] = []
    if policies is not None:
        try:
            found = list(differences(record, rederive(record, policies)))
        except ValueError as error:
            reasons.append(str(error))
    return {"exact": not reasons and not found, "obstacles": reasons, "differences": found}
