"""Throws mutated policy requests at the codec and a session. Short by default; EARMARK_FUZZ_SECONDS makes it long.

Asserted: whatever comes, it ends in answers or a RemoteError, no fault of ours is logged, and each answer is whole. A
crasher becomes a dialogue.
"""

import os
import random
import re
import time

from fakes.policy_front import EXIM, RCPT, request
from fakes.policy_targets import policy_codec_target, policy_session_target

SEEDS = (
    request(RCPT),
    request(RCPT, protocol_state="CONNECT", helo_name=""),
    request(RCPT, protocol_state="DATA"),
    request(RCPT, client_address="2001:db8::7", sender="", sasl_username="bob"),
    request(RCPT, recipient='"b c"@example.org', queue_id="4XyZ"),
    request(EXIM, recipients='"a,b"@example.org,c@example.net', reverse_state="FORGED"),
)
TOKENS = (
    *(b"\n", b"\n\n", b"=", b"\r\n", b"\0", b"client_address=", b"recipient=", b"%", b"\xff", b"unknown", b'"', b","),
    *(b"request=earmark\n", b"protocol_state=RCPT\n", b"::ffff:", b"@", b"<", b">", b"." * 300, b"a" * 2000),
)
ANSWER = re.compile(rb"action=[ -~]+\n\n|v=1\n(?:[a-z]+=[ -~]*\n)+end=1\n")
SECONDS = float(os.environ.get("EARMARK_FUZZ_SECONDS", "2"))


def test_mutated_requests_end_in_answers_or_a_remote_error() -> None:
    seed = int(os.environ.get("EARMARK_FUZZ_SEED", "1"))
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    end = time.monotonic() + SECONDS
    answered = 0
    while time.monotonic() < end:
        raw = _mutated(chance)
        try:
            policy_codec_target(raw)
            answers = policy_session_target(raw)
            assert all(ANSWER.fullmatch(answer) for answer in answers)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw.hex()}") from error
        answered += len(answers)
    assert answered


def _mutated(chance: random.Random) -> bytes:
    raw = b"".join(chance.choices(SEEDS, k=chance.randrange(1, 5)))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                raw = raw[:at] + chance.choice(TOKENS) + raw[at:]
            case 1:
                raw = raw[:at] + raw[at + chance.randrange(30) :]
            case 2:
                raw = raw[:at] + chance.randbytes(1) + raw[at + 1 :]
            case _:
                raw = raw[:at]
    return raw
