"""The Lua scripts of the store in Redis or Valkey, which run there atomically, and the keys that they work on.

A key is the prefix, with the version of the form, and the question's text. A value that is not as these scripts write
it (somebody else's, or damaged) is ignored, and replaced by the next write.

A triplet is a hash of decimal texts; a bucket is a string, the server's time in seconds at which it will be full again.
"""

import re

from earmark.core.evidence import Greylisting, Question, question_from_text, question_text
from earmark.stores.triplets import Triplet, time_of

PREFIX = "earmark:1:"
"""Before every key of ours. Another version has another number, and neither sees the other's."""

_VALUES = 7
_VERDICT_ID = re.compile(r"[0-9A-Z]{1,20}", re.ASCII)

# KEYS: the bucket. ARGV: tokens, seconds. Returns {taken, full again, now}; as `buckets.take`.
TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local tokens, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.pcall('GET', KEYS[1])) or now
if not (full > now) then full = now end
if full > now + seconds then full = now + seconds end
local after = full + seconds / tokens
local taken = 0
if after <= now + seconds + 0.000001 then
  taken, full = 1, after
  redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000) + 1000)
end
return {taken, string.format('%.6f', full), string.format('%.6f', now)}
"""

# KEYS: the triplet. Returns its values and the milliseconds that are left, or nothing for what is no hash.
KNOWN = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
local found = redis.call('HMGET', KEYS[1], 'first', 'id', 'tries', 'passed', 'last', 'times')
found[7] = redis.call('PTTL', KEYS[1])
return found
"""

_NOTE = """
local key, at = KEYS[1], ARGV[1]
local function number(field) return tonumber(redis.call('HGET', key, field)) end
if redis.call('TYPE', key).ok ~= 'hash' or not number('first') or not number('passed') or not number('last') then
  if redis.call('EXISTS', key) == 1 then redis.call('DEL', key) end -- once a script has written, OOM stops it no more
  redis.call('HSET', key, 'first', at, 'id', ARGV[3], 'tries', 0, 'passed', 0, 'last', 0, 'times', 0)
  redis.call('PEXPIRE', key, ARGV[2])
end
local again = redis.call('HGET', key, 'last') ~= at
"""

# KEYS: the triplet. ARGV: when, the milliseconds to keep it, the verdict's id.
ATTEMPT = (
    _NOTE
    + """
if again then redis.call('HSET', key, 'tries', (number('tries') or 0) + 1, 'last', at) end
return 1
"""
)

# KEYS: the triplet. ARGV: when, the milliseconds to keep it, "".
PASSED = (
    _NOTE
    + """
local times = number('times') or 0
if number('passed') == 0 then redis.call('HSET', key, 'passed', at) end
if again or times == 0 then redis.call('HSET', key, 'times', times + 1, 'last', at) end
redis.call('PEXPIRE', key, ARGV[2])
return 1
"""
)

# KEYS: anything of ours.
FORGET = "return redis.call('DEL', KEYS[1])"


def key_of(question: Question) -> str:
    """Return the key under which a question's answer stands."""
    return PREFIX + question_text(question)


def question_of(key: str) -> Greylisting | None:
    """Return the triplet whose key this is; None for another key."""
    try:
        question = question_from_text(key.removeprefix(PREFIX))
    except ValueError:
        return None
    return question if isinstance(question, Greylisting) and key.startswith(PREFIX) else None


def read_triplet(question: Greylisting, values: list[bytes | int | None], now: float) -> Triplet | None:
    """Read what KNOWN returned; None for what is not there or not ours."""
    if len(values) != _VALUES:
        return None
    try:
        first, told, tries, passed, last, times, left = values
        if not isinstance(left, int) or left <= 0:
            return None
        known = Triplet(
            *question[:-1],
            first=time_of(_text(first)),
            id=_text(told) if _VERDICT_ID.fullmatch(_text(told)) else "",
            tries=int(_text(tries)),
            passed=time_of(_text(passed)),
            last=time_of(_text(last)),
            times=int(_text(times)),
            until=now + left / 1000,
        )
    except ValueError:
        return None
    return known if known.first or known.passed else None


def _text(value: bytes | int | None) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""
