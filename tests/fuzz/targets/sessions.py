"""Whole sessions behind the codecs: whatever is said, no fault of ours is logged, and what is answered is whole."""

import re
from collections.abc import Iterator

from earmark.wire import RemoteError
from earmark.wire.milter import MAX_PACKET
from earmark.wire.milter_mta import decode_response
from fakes.exim_front import read_as_exim_does
from fakes.exim_targets import exim_session_target
from fakes.milter_targets import NEGOTIATED, session_target
from fakes.policy_targets import policy_session_target
from fuzz.checking import pieces, refusal
from fuzz.running import Target, stored
from fuzz.targets import attributes, milter, rspamc

_ANSWER = re.compile(rb"action=[ -~]+\n\n|v=1\n(?:[a-z]+=[ -~]*\n)+end=1\n")


def check_milter(raw: bytes) -> str:
    answers = session_target(raw if raw[4:5] == b"O" else NEGOTIATED + raw)
    assert all(len(answer) <= MAX_PACKET + 4 for answer in answers)
    words = {type(decode_response(answer[4], answer[5:])).__name__ for answer in answers[1:]}
    return f"{'answered' if words else 'silent'}: {sorted(words)}"


def check_policy(raw: bytes) -> str:
    answers = policy_session_target(raw)
    assert all(_ANSWER.fullmatch(answer) for answer in answers)
    return f"{'answered' if answers else 'silent'}: {sorted({answer[:20] for answer in answers})}"


def check_exim(raw: bytes) -> str:
    try:
        answer = exim_session_target(pieces(raw))
    except RemoteError as error:
        return refusal(error)
    if not answer:
        return "silent"
    report = read_as_exim_does(answer)
    return f"answered: {report.action} {sorted({key for key, _ in report.lines})}"


def _milter() -> Iterator[bytes]:
    yield from stored("milter")


def _policy() -> Iterator[bytes]:
    yield from stored("attributes")


def _exim() -> Iterator[bytes]:
    yield from stored("rspamc")


_ENDS = frozenset({"answered", "silent"})
MILTER = Target("milter_session", check_milter, _ENDS, milter.TOKENS, milter.damaged_packets, _milter)
POLICY = Target("policy_session", check_policy, _ENDS, attributes.TOKENS, more=_policy)
EXIM = Target("exim_session", check_exim, _ENDS | {"refused"}, rspamc.TOKENS, rspamc.damaged_request, _exim)
