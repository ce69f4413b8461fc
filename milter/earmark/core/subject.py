"""The subject tag: put before a Subject as it stands, once (RFC 5322 section 3.6.5, RFC 2047)."""

from earmark.core.text import printable


def tagged_subject(tag: str, value: bytes) -> str | None:
    """Return the Subject's value with the tag before it; None where it is there already.

    `value` is as received, with its folding. Encoded words stay as they are: a tag in ASCII and a blank before them is
    what RFC 2047 section 5 asks for. Bytes that are not ASCII are kept, so that the reader sees what the sender wrote:
    what is not UTF-8 comes back as surrogates (PEP 383), for the codec to turn into the same bytes.
    """
    text = value.replace(b"\r\n", b"\n").replace(b"\r", b" ").decode("utf-8", "surrogateescape").strip(" \t\n")
    tag = printable(tag, 60)
    if text.startswith(tag):
        return None
    return f"{tag} {text}"
