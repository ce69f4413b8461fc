"""What a verdict writes into the message: SpamAssassin's header fields, our trace field, the subject tag.

Fields of our names that come from outside are removed from the last to the first: removal by index from the first would
let the next one slip into the removed one's place (CVE-2022-48521 is that mistake). Postfix counts so. Sendmail
goes on counting what was removed, and counts what was inserted too: so all removals come before any insertion.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from earmark.core.authentication.authres import authentication_results, is_our_results
from earmark.core.authentication.received_spf import received_spf
from earmark.core.authentication.spf_identity import identity as spf_identity
from earmark.core.checks.released import FIELD
from earmark.core.evidence import Facts, points_text
from earmark.core.judge import RELEASED
from earmark.core.mail import Transaction
from earmark.core.phrase import question_subject
from earmark.core.policy import Policy
from earmark.core.subject import tagged_subject
from earmark.core.text import printable
from earmark.core.verdict import Action, ChangeHeader, Edit, InsertHeader, Outcome, RemoveHeader, Verdict

_OURS = (b"x-spam-", b"x-earmark")
_RESULTS = b"authentication-results"
_RELEASE = FIELD.lower().encode()
_AUTHENTICATING = frozenset(("spf", "dkim", "arc", "dmarc"))
_OUR_INITIALS = frozenset((b"x", b"X", b"a", b"A", b" ", b"\t"))
"""With which a field of ours could begin, a blank before the name included: most fields are passed over at one look."""
_LEVEL_AT_MOST = 50
_LINE = 76
_FIELD_AT_MOST = 1200


class Trace(NamedTuple):
    """What the trace field says of how the verdict came about."""

    verdict_id: str
    generation: str


def edits(
    txn: Transaction, facts: Facts, verdict: Verdict, policies: Sequence[Policy], trace: Trace
) -> tuple[Edit, ...]:
    """Return the edits in the order in which they are to be made. `policies` go with the verdict's outcomes, in order.

    Mail of an exempt session is our own: nothing is removed from it, and unless marked it gets the trace field only.
    But what is released from the quarantine came from outside, and nothing was removed from it then.
    """
    found: tuple[Edit, ...] = tuple(_removals(txn, foreign=not txn.envelope.exempt or _is_released(verdict)))
    if txn.envelope.exempt and verdict.action < Action.MARK:
        return (*found, InsertHeader("X-Earmark", _trace_value(verdict, trace)))
    if not txn.envelope.exempt:
        found = (*found, *_results(txn, facts, policies))
    return (*found, *_subject(txn, verdict, policies), *_fields(verdict, policies, trace))


def _is_released(verdict: Verdict) -> bool:
    return any(finding.opt_in == RELEASED for outcome in verdict.outcomes for finding in outcome.findings)


def is_ours(name: bytes) -> bool:
    """Return whether nobody but us is to write fields of this name."""
    return name.strip().lower().startswith(_OURS)


def may_be_removed(name: bytes) -> bool:
    """Return whether a field of this name is removed where it comes from outside, by its name or by what it claims."""
    return is_ours(name) or name.strip().lower() == _RESULTS


def unjudged(txn: Transaction, trace: Trace) -> tuple[Edit, ...]:
    """Return the edits for a message that a fault of our own kept from being judged: it is accepted, and says so."""
    removed = _removals(txn, foreign=not txn.envelope.exempt)
    value = f"v=1; id={trace.verdict_id}; gen={trace.generation[:12]}; unchecked=error"
    return (*removed, InsertHeader("X-Earmark", value))


def _removals(txn: Transaction, *, foreign: bool) -> Iterator[RemoveHeader]:
    """Find our own fields that came from outside, and results that claim to be ours (RFC 8601 section 5).

    In what is not `foreign`, only the field of a release is ours to remove: it has served when it has come here.
    """
    seen: dict[bytes, int] = {}
    found: list[RemoveHeader] = []
    for header in txn.message.headers:
        if header.name[:1] not in _OUR_INITIALS:
            continue
        name = header.name.strip().lower()
        if name.startswith(_OURS) or name == _RESULTS:
            seen[name] = seen.get(name, 0) + 1
            if not foreign and name != _RELEASE:
                continue
            if name != _RESULTS or is_our_results(header, txn.envelope.authserv_id):
                found.append(RemoveHeader(printable(header.name.strip().decode("latin-1"), 200), seen[name]))
    return reversed(found)


def _results(txn: Transaction, facts: Facts, policies: Sequence[Policy]) -> Iterator[InsertHeader]:
    """Write what sender authentication gave, where it was looked at (RFC 8601; RFC 7208 section 9.1)."""
    receiver = txn.envelope.authserv_id
    if not receiver or not any(question.kind in _AUTHENTICATING for question in facts):
        return
    identity = spf_identity(txn.envelope)
    fact = facts.get(identity) if identity else None
    if identity and fact and any(policy.knobs["spf"].received_spf for policy in policies if "spf" in policy.knobs):
        yield InsertHeader("Received-SPF", received_spf(fact, identity, receiver))
    yield InsertHeader("Authentication-Results", authentication_results(txn, facts, receiver))


def _fields(verdict: Verdict, policies: Sequence[Policy], trace: Trace) -> Iterator[InsertHeader]:
    """Yield the fields; each is inserted on top, so the last one ends up first."""
    outcomes = verdict.outcomes
    if not outcomes:
        return
    mildest, policy = min(zip(outcomes, policies, strict=True), key=_mildness)
    lowest = min(outcome.mark_score for outcome in outcomes)
    yield InsertHeader("X-Earmark", _trace_value(verdict, trace))
    names = [finding.name for finding in mildest.findings]
    word = "Yes" if verdict.action >= Action.MARK else "No"
    score, required = points_text(lowest), points_text(policy.mark_at)
    yield InsertHeader("X-Spam-Status", _folded(f"{word}, score={score} required={required} tests=", names or ["none"]))
    yield InsertHeader("X-Spam-Level", "*" * max(0, min(lowest // 100, _LEVEL_AT_MOST)))
    yield InsertHeader("X-Spam-Score", points_text(lowest))
    if verdict.action >= Action.MARK:
        yield InsertHeader("X-Spam-Flag", "YES")


def _mildness(pair: tuple[Outcome, Policy]) -> tuple[int, int, int, list[str]]:
    """Order by how mild an outcome is, then by what is shown of it: recipients in another order change no field."""
    outcome, policy = pair
    return outcome.action, outcome.mark_score, policy.mark_at, [finding.name for finding in outcome.findings]


def _trace_value(verdict: Verdict, trace: Trace) -> str:
    parts = ["v=1", f"id={trace.verdict_id}", f"gen={trace.generation[:12]}"]
    unknown = unchecked(verdict.outcomes)
    would = min((outcome.would for outcome in verdict.outcomes), default=Action.ACCEPT)
    if would > verdict.action:
        parts.append(f"would={would.word}")
    return "; ".join(parts) if not unknown else _folded("; ".join(parts) + "; unchecked=", unknown)


def unchecked(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the names of all that was asked and not answered, sorted."""
    return sorted({question_subject(question) for outcome in outcomes for question in outcome.unknown})


def _folded(start: str, names: Sequence[str]) -> str:
    """Return `start` and the names joined by commas, folded with LF and tab at 76 columns, cut where too long."""
    lines, line, used = [], start, len(start)
    for position, name in enumerate(names):
        piece = printable(name, 100) + ("," if position < len(names) - 1 else "")
        used += len(piece)
        if used > _FIELD_AT_MOST:
            line += "..."
            break
        if len(line) + len(piece) > _LINE:
            lines.append(line)
            line = "\t"
        line += piece
    return "\n".join([*lines, line])


def _subject(txn: Transaction, verdict: Verdict, policies: Sequence[Policy]) -> Iterator[Edit]:
    """Tag the Subject where the message is marked and every policy asks for the same tag."""
    tags = {policy.subject_tag for policy in policies}
    if verdict.action < Action.MARK or len(tags) != 1 or "" in tags:
        return
    tag = tags.pop()
    subjects = [header.value for header in txn.message.headers if header.name.strip().lower() == b"subject"]
    if not subjects:
        yield InsertHeader("Subject", tag)
    for index, value in enumerate(subjects, start=1):
        changed = tagged_subject(tag, value)
        if changed is not None:
            yield ChangeHeader("Subject", index, changed)
