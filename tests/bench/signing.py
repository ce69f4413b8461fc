"""The load's DKIM signature (RFC 6376): every message has the same body and, of what is signed, the same header."""

import base64
import re
import subprocess
from functools import cache
from pathlib import Path

import dkim

SELECTOR = "bench"
_SIGNED = (b"from", b"to", b"subject", b"date")
_BODY_SIZE = 4096
_LINE = b"The quick brown fox jumps over the lazy dog, again and again 0123456789.\r\n"
_FIELDS = re.compile(r'^    \{"(From|To|Subject|Date)", "(.*)"\},$', re.MULTILINE)


@cache
def _private_key() -> bytes:
    made = subprocess.run(["openssl", "genrsa", "-traditional", "1024"], capture_output=True, check=True)
    return made.stdout


def key_record() -> str:
    """Return the TXT record of the public key: of 1024 bits, since rbldnsd's TXT records end at 255 octets."""
    command = ["openssl", "rsa", "-pubout", "-outform", "DER"]
    public = subprocess.run(command, input=_private_key(), capture_output=True, check=True).stdout
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


@cache
def signature() -> str:
    """Return the value of the field that holds for the load's messages."""
    source = Path(__file__).with_name("packets.c").read_text()
    fields = {name: value.replace(r"\"", '"') for name, value in _FIELDS.findall(source)}
    header = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    body = (_LINE * (_BODY_SIZE // len(_LINE) + 1))[:_BODY_SIZE]
    signed = dkim.sign(
        header.encode() + b"\r\n" + body,
        SELECTOR.encode(),
        b"sender.test",
        _private_key(),
        include_headers=list(_SIGNED),
    )
    return re.sub(r"\r\n[ \t]+", "", signed.decode().partition(":")[2].strip())
