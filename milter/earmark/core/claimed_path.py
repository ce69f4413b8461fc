"""What a message says of where it came from, beyond what SMTP has shown: its claimed path.

A path can be forged, and an honest one holds addresses of people at home. Nothing is refused for it (docs/design.md,
promise 1), so the scan that confirms a refusal does without.
"""

from collections.abc import Iterable, Iterator

from earmark.core.mail import Header

PATH_FIELDS = frozenset(
    (
        b"received",
        # Copies of it, and what others concluded from it
        b"x-received",
        b"x-original-received",
        b"received-spf",
        b"x-received-spf",
        # SpamAssassin's own `originating_ip_headers`, and its `rbl_headers` that hold addresses
        b"x-aol-ip",
        b"x-apparently-from",
        b"x-ms-exchange-crosstenant-originalattributedtenantconnectingip",
        b"x-originating-ip",
        b"x-senderip",
        b"x-source-ip",
        b"x-webmailclientip",
        b"x-yahoo-post-ip",
        # The like of them, which a site may have added there
        b"x-client-ip",
        b"x-clientip",
        b"x-eip",
        b"x-forefront-antispam-report",
        b"x-forwarded-for",
        b"x-http-posting-ip",
        b"x-ip",
        b"x-mailer-ip",
        b"x-mdremoteip",
        b"x-msn-originating-ip",
        b"x-orig-ip",
        b"x-origin-ip",
        b"x-original-ip",
        b"x-originating-client-ip",
        b"x-originatingip",
        b"x-posting-ip",
        b"x-real-ip",
        b"x-remote-ip",
        b"x-sender-ip",
        b"x-submission-ip",
        b"x-user-ip",
        b"x-webmail-client-ip",
        b"x-webmail-user-ip",
        b"x-yahoo-smtp-ip",
    )
)
"""Names, in lower case, of the fields that hold an address of the message's earlier path."""


def without_path(headers: Iterable[Header]) -> Iterator[Header]:
    """Return the header fields that are none of the claimed path, in order."""
    return (header for header in headers if header.name.strip(b" \t").lower() not in PATH_FIELDS)
