"""What spamd answers to REPORT, written down."""

OURS = b"earmark 1 external=192.0.2.7 tests="


def reply(tests: str = "RULE_A=1.5,RULE_B=3.46", *, shown: str = "4.9", external: str = "192.0.2.7") -> bytes:
    """Return a reply as spamd 4.0 forms it, under the site configuration that we ship."""
    return framed(f"earmark 1 external={external} tests={tests}\n\n".encode(), shown=shown)


def framed(body: bytes, *, shown: str = "4.9") -> bytes:
    head = f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(body)}\r\nSpam: False ; {shown} / 5.0\r\n\r\n"
    return head.encode() + body
