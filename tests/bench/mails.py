"""Messages of a given size: text, the same as HTML, and an attachment, as MIME has them."""

import base64
import random

MARK = b"##########"
"""Where each message that is sent has a word of its own, so that no scanner knows the body from the last time."""

_WORDS = """
the of and to a in is that it was for on are with as his they be at one have this from or had by but some what there
we can out other were all your when up use word how said an each she which do their time if will way about many then
them would write like so these her long make thing see him two has look more day could go come did my sound no most
number who over know water than call first people may down side been now find any new work part take get place made
live where after back little only round man year came show every good me give our under name very through just form
invoice meeting project report table letter delivery customer order question answer schedule machine river garden
"""
_TEXT_AT_MOST = 20_000
_LINE = 76
_PARAGRAPH = 6
"""Lines."""
_BOUNDARY = b"=_part_0001"
_HEADER = b"""\
Received: from home.sender.test (home.sender.test [80.0.0.1])
 by mail.sender.test (Postfix) with ESMTPS id 4Q00000001
 for <rcpt@example.org>; Sat, 21 Nov 2026 10:00:00 +0000 (UTC)
From: "Some Body" <somebody@sender.test>
To: Recipient <rcpt@example.org>
Subject: A fairly ordinary subject line of an ordinary message
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <##########.1@sender.test>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_part_0001"
Reply-To: somebody@sender.test
User-Agent: bench/1.0

"""
_TEXT = b"""\
--=_part_0001
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 7bit

##########
"""
_HTML = b"""\
--=_part_0001
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: 7bit

"""
_ATTACHMENT = b"""\
--=_part_0001
Content-Type: application/octet-stream; name="table.dat"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="table.dat"

"""


def message(size: int) -> bytes:
    """Return a message of that many bytes, at least 8,000, the same in every run.

    A tenth, up to 20 KB, is text; as much again is the same as HTML; the rest is the attachment, of random bytes.
    """
    pick = random.Random(size)  # noqa: S311 - the same message in every run
    paragraphs = _paragraphs(pick, min(size // 10, _TEXT_AT_MOST))
    html = [b"<p>" + paragraph.replace(b"\n", b"<br>\n") + b"</p>" for paragraph in paragraphs]
    head = b"\n".join([_HEADER + _TEXT, *paragraphs, _HTML + b"<html><body>", *html, b"</body></html>", _ATTACHMENT])
    head = head.replace(b"\n", b"\r\n")
    end = b"--" + _BOUNDARY + b"--\r\n"
    room = size - len(head) - len(end)
    lines = base64.encodebytes(pick.randbytes(room * 3 // 4)).replace(b"\n", b"\r\n")
    return head + lines[: room - 2].rstrip(b"\r\n").ljust(room - 2, b"A") + b"\r\n" + end


def _paragraphs(pick: random.Random, size: int) -> list[bytes]:
    words, lines = _WORDS.split(), list[str]()
    while sum(map(len, lines)) < size:
        line = " ".join(pick.choices(words, k=12))[:_LINE]
        lines.append(line if len(lines) % _PARAGRAPH else f"{line}.\n")
    return "\n".join(lines).encode().split(b"\n\n")
