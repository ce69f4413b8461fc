"""Messages as bytes (RFC 5322): the header split into its fields."""

from collections.abc import Callable


def split_header(raw: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the fields of a message's header as name and value, and the offset at which its body begins. Never raises.

    Values are what a milter is given: the leading space and the folding kept, lines inside divided by LF, no final line
    end. Lines end with LF or CRLF; a CR alone ends nothing. A first line "From " or ">From " (mbox) is passed over. The
    header ends with an empty line or, as MTAs have it, before the first line that can be no field. Linear in its size.
    """
    fields: list[tuple[bytes, bytes]] = []
    lines: list[bytes] = []
    offset = 0
    while offset < len(raw):
        end = raw.find(b"\n", offset) + 1 or len(raw)
        line = raw[offset:end].removesuffix(b"\n").removesuffix(b"\r")
        if not line:
            offset = end
            break
        if line[:1] in (b" ", b"\t") and lines:
            lines.append(line)
        elif _name(line):
            _close(fields, lines)
            lines = [line]
        elif offset or not line.startswith((b"From ", b">From ")):
            break
        offset = end
    _close(fields, lines)
    return fields, offset


def without_fields(raw: bytes, unwanted: Callable[[bytes], bool]) -> bytes:
    """Return the message without the fields whose names are `unwanted`. All lines end with CRLF then."""
    fields, offset = split_header(raw)
    kept = [name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in fields if not unwanted(name)]
    return b"".join(kept) + b"\r\n" + body_lines(raw[offset:])


def body_lines(raw: bytes) -> bytes:
    """Return a body as SMTP carries it: lines that end with LF end with CRLF, and the last one has its end."""
    body = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


def _name(line: bytes) -> bytes:
    """Return the field's name (RFC 5322 section 2.2, and spaces before the colon), or b"" for no field."""
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")
    return name if colon and name.isascii() and not any(byte <= 0x20 or byte == 0x7F for byte in name) else b""


def _close(fields: list[tuple[bytes, bytes]], lines: list[bytes]) -> None:
    if lines:
        first = lines[0].partition(b":")[2]
        fields.append((_name(lines[0]), b"\n".join([first, *lines[1:]])))
