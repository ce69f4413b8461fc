"""What lies in the Maildirs, and how a stored message differs from the one that was sent."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

OUR_NAMES = re.compile(rb"(?:x-spam-|x-earmark)[^:\s]*\s*:", re.IGNORECASE)
VIRTUAL = "idn"
"""With this begin the Maildirs, below the store, of what an MTA delivers by itself: one MTA, one Maildir."""
_MTA_RECEIVED = re.compile(
    rb"Received: from [^;]*\sby mx\.lab\.test (?:\((?:Postfix|8\.[^)]*)\) with \S+"
    rb"|with \S+ \(Exim 4\.\d+\)[^;]*)\sid ([\w-]+)",
    re.DOTALL,
)


class Parts(NamedTuple):
    """A message taken apart, byte for byte; a field keeps its folding and its line end."""

    fields: tuple[bytes, ...]
    body: bytes
    """From the empty line on."""


def take_apart(message: bytes) -> Parts:
    """Split a message, whose lines end in LF, into its fields and its body."""
    fields: list[bytes] = []
    lines = message.splitlines(keepends=True) if b"\r" not in message else re.findall(rb"[^\n]*\n|[^\n]+", message)
    for position, line in enumerate(lines):
        if line == b"\n":
            return Parts(tuple(fields), b"".join(lines[position:]))
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            fields.append(line)
    return Parts(tuple(fields), b"")


def without_ours(message: bytes) -> bytes:
    """Return the message without the fields that only earmark may write."""
    fields, body = take_apart(message)
    return b"".join(field for field in fields if not OUR_NAMES.match(field)) + body


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy in somebody's mailbox."""

    recipient: str
    folder: str
    """"INBOX" or "Junk"."""
    file: Path
    queue_id: str
    added: tuple[bytes, ...]
    """The fields that the MTA, earmark and Dovecot put on top, down to the MTA's own Received."""
    message: bytes
    """All below: what the sender sent, as it is stored."""

    def values(self, name: str) -> list[str]:
        """Return the values of the fields of this name among those put on top, unfolded."""
        prefix = name.lower().encode() + b":"
        found = (field.partition(b":")[2] for field in self.added if field.lower().startswith(prefix))
        return [" ".join(value.decode("ascii").split()) for value in found]

    @property
    def marked(self) -> bool:
        return self.values("X-Spam-Flag") == ["YES"]

    @property
    def ours(self) -> tuple[bytes, ...]:
        """The fields that earmark put on top."""
        return tuple(field for field in self.added if OUR_NAMES.match(field))


def read_store(store: Path) -> Iterator[Delivery]:
    """Yield every copy in the store. Dovecot fills DOMAIN/USER and DOMAIN/USER/.FOLDER, the MTAs fill `idn*`."""
    for user in store.glob("*/*"):
        if not user.parent.name.startswith(VIRTUAL):
            for mailbox in (user, *user.glob(".*/")):
                folder = "INBOX" if mailbox == user else mailbox.name.removeprefix(".")
                for file in _mails(mailbox):
                    yield _delivery(f"{user.name}@{user.parent.name}", folder, file)
    for file in (file for maildir in store.glob(f"{VIRTUAL}*") for file in _mails(maildir)):
        (recipient,) = re.findall(rb"^Delivered-To: (.*)$", file.read_bytes().partition(b"\n\n")[0], re.MULTILINE)
        yield _delivery(recipient.decode(), "INBOX", file)


def _mails(maildir: Path) -> Iterator[Path]:
    return (file for part in ("new", "cur") for file in maildir.glob(f"{part}/*.*"))


def _delivery(recipient: str, folder: str, file: Path) -> Delivery:
    raw = file.read_bytes()
    fields, body = take_apart(raw)
    for position, field in enumerate(fields):
        found = _MTA_RECEIVED.match(field)
        if found:
            queue_id = found[1].decode()
            message = b"".join(fields[position + 1 :]) + body
            return Delivery(recipient, folder, file, queue_id, fields[: position + 1], message)
    raise AssertionError(f"a mail for {recipient} that no MTA of ours handed over: {raw[:2000]!r}")
