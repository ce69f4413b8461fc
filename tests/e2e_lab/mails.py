"""Mails that SpamAssassin finds nothing in but what a test puts there, each like no other."""

import itertools
from email.utils import formatdate

_numbers = itertools.count(1)


def mail(body: bytes, *fields: bytes, subject: bytes = b"Tea") -> bytes:
    """Return a message, whose lines end in LF; `fields` are further lines of its header."""
    header = (
        b"From: Someone <someone@sender.test>",
        b"To: Somebody <bob@lab.test>",
        b"Subject: " + subject,
        b"Message-ID: <%d.tea@sender.test>" % next(_numbers),
        b"Date: " + formatdate().encode(),
        *fields,
    )
    return b"\n".join(header) + b"\n\n" + body + b"\n"
