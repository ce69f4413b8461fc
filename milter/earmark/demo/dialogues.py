"""The dialogues that the demonstration plays: who connects, what it sends, and what has to happen, and why."""

import asyncio
from importlib import resources
from typing import NamedTuple

INBOX, JUNK, REFUSED, DEFERRED = "INBOX", "Junk", "refused", "deferred"

_PLAIN = "From: a@example.net\nSubject: Hello\n\nHello.\n"
_FORGED = f"X-Spam-Flag: YES\nX-Spam-Score: 99\n{_PLAIN}"
_FROM_HOME = (
    "Received: from laptop (unknown [203.0.113.77])\n\tby smtp.provider.example (Postfix) with ESMTP id 4Tq0;\n"
    "\tSun, 1 Nov 2026 10:00:00 +0100\nFrom: user@provider.example\nSubject: Sunday\n\nSee you on Sunday.\n"
)
_FROM_HOME_AUTHENTICATED = _FROM_HOME.replace("with ESMTP id", "with ESMTPSA id")
_FROM_FRIEND = "From: ann@friend.example\nSubject: Hello\n\nHello.\n"
_IN_JOES_NAME = "From: Joe SixPack <joe@football.example.com>\nSubject: Tickets\n\nPay here.\n"
_SIGNED_BY_JOE = resources.files("earmark.demo").joinpath("signed.eml").read_text("ascii")
"""The message of RFC 8463 appendix A.3, with the Ed25519 one of its two signatures; the key is in zone.txt."""


class Dialogue(NamedTuple):
    """One SMTP session with one message."""

    about: str
    client: str
    helo: str
    sender: str
    recipients: tuple[str, ...]
    expected: tuple[str, ...]
    """For each recipient: INBOX, JUNK, REFUSED or DEFERRED."""
    lesson: str
    message: str = _PLAIN
    login: str = ""
    after: float = 0.0
    """Seconds that the client waits before it connects."""


BOB, CAROL = "bob@example.org", "carol@example.org"
DIALOGUES = (
    Dialogue("an ordinary mail server", "192.0.2.10", "mail.example.net", "a@example.net", (BOB,), (INBOX,),
             "nothing is held against it"),
    Dialogue("a listed client", "198.51.100.66", "pc.example.com", "x@example.com", (BOB,), (REFUSED,),
             "the connection is definite evidence: refused at RCPT, with the reason"),
    Dialogue("the same client, authenticated", "198.51.100.66", "pc.example.com", "a@example.net", (BOB,), (INBOX,),
             "our own user on a bad network: exempt", login="bob"),
    Dialogue("a user at home, through the provider", "192.0.2.20", "smtp.provider.example", "user@provider.example",
             (BOB,), (JUNK,), "the listed address stands only in Received: marked, never refused", _FROM_HOME),
    Dialogue("the same, the provider says authenticated", "192.0.2.20", "smtp.provider.example",
             "user@provider.example", (BOB,), (INBOX,), "an authenticated hop counts half: below mark_at",
             _FROM_HOME_AUTHENTICATED),
    Dialogue('the listed client, domain with mode = "mark"', "198.51.100.66", "pc.example.com", "x@example.com",
             ("eve@marks.example",), (JUNK,), "tagging for the spam folder instead of refusing"),
    Dialogue("two recipients, two policies", "198.51.100.66", "pc.example.com", "x@example.com",
             (BOB, "eve@watches.example"), (REFUSED, INBOX), 'each by its own policy; mode = "observe" only stamps'),
    Dialogue("a list that answers with an error code", "192.0.2.30", "mail30.example.net", "a@example.net", (BOB,),
             (INBOX,), "127.255.255.254 is no listing: nothing happens, X-Earmark says unchecked"),
    Dialogue("a list that does not answer", "192.0.2.40", "mail40.example.net", "a@example.net", (BOB,), (INBOX,),
             "errors are not evidence"),
    Dialogue("forged X-Spam-Flag: YES", "192.0.2.10", "mail.example.net", "a@example.net", (BOB,), (INBOX,),
             "headers of our names from outside are removed", _FORGED),
    Dialogue("a bounce to postmaster from a listed client", "198.51.100.66", "pc.example.com", "",
             ("postmaster@example.org",), (JUNK,), "postmaster is never refused"),
    Dialogue("the listed client, allowed by an entry", "198.51.100.66", "pc.example.com", "x@example.com",
             (CAROL,), (INBOX,), "earmark allow add 198.51.100.66 --recipient carol@example.org"),
    Dialogue("a listed sender domain, a bad envelope", "203.0.113.5", "mx.example.org", "win@prizes.example", (BOB,),
             (REFUSED,), "a name on a list refuses with other evidence only: it greets as ourselves"),
    Dialogue("forwarded mail fails SPF", "192.0.2.50", "forwarder.example.net", "ann@friend.example", (BOB,), (INBOX,),
             "whoever forwards in the sender's name fails it: it weighs little", _FROM_FRIEND),
    Dialogue("forwarded, and its DKIM signature holds", "192.0.2.50", "forwarder.example.net",
             "joe@football.example.com", (BOB,), (INBOX,), "Authentication-Results: spf=fail, dkim=pass, dmarc=pass",
             _SIGNED_BY_JOE),
    Dialogue("a forged author", "192.0.2.10", "mail.example.net", "a@example.net", (BOB,), (JUNK,),
             "DMARC fails, and the author's domain asks for rejection: marked", _IN_JOES_NAME),
    Dialogue('the same, domain with dmarc = "reject"', "192.0.2.10", "mail.example.net", "a@example.net",
             ("eve@rejects.example",), (REFUSED,), "as the author's domain asks: refused after DATA", _IN_JOES_NAME),
    Dialogue("a suspicious server, domain with greylisting", "203.0.113.50", "203.0.113.50", "news@shop.example",
             ("eve@waits.example",), (DEFERRED,), "no reverse name, a bare address as HELO: told to come back"),
    Dialogue("the same, a little later", "203.0.113.50", "203.0.113.50", "news@shop.example", ("eve@waits.example",),
             (INBOX,), "a mail server comes back, a bot mostly does not", after=1.2),
)  # fmt: skip


class Result(NamedTuple):
    """What happened to one recipient."""

    dialogue: Dialogue
    recipient: str
    expected: str
    outcome: str
    """REFUSED, DEFERRED, or "accepted": the folder is found by who has the Maildirs."""
    reply: str
    verdict_id: str = ""
    """Known to who has the filter."""


async def play(dialogue: Dialogue, port: int) -> list[Result]:
    """Play one dialogue against 127.0.0.1:`port`."""
    await asyncio.sleep(dialogue.after)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say(line: str) -> str:
        writer.write(line.encode() + b"\r\n")
        return await _reply(reader)

    await _reply(reader)
    login = f" LOGIN={dialogue.login}" if dialogue.login else ""
    await say(f"XCLIENT ADDR={dialogue.client}{login}")
    await say(f"EHLO {dialogue.helo}")
    await say(f"MAIL FROM:<{dialogue.sender}>")
    replies = [await say(f"RCPT TO:<{recipient}>") for recipient in dialogue.recipients]
    final = ""
    if any(reply.startswith("250") for reply in replies):
        await say("DATA")
        final = await say(dialogue.message.replace("\n", "\r\n") + ".")
    await say("QUIT")
    writer.close()
    pairs = zip(dialogue.recipients, dialogue.expected, replies, strict=True)
    return [_result(dialogue, recipient, expected, reply, final) for recipient, expected, reply in pairs]


def _result(dialogue: Dialogue, recipient: str, expected: str, reply: str, final: str) -> Result:
    denial = next((text for text in (reply, final) if not text.startswith("250")), "")
    outcome = {"": "accepted", "4": DEFERRED}.get(denial[:1], REFUSED)
    return Result(dialogue, recipient, expected, outcome, denial)


async def _reply(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(30):
        while True:
            line = (await reader.readline()).decode("ascii", "replace").rstrip()
            if not line or line[3:4] != "-":
                return line
