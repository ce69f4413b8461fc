"""The sixty real mails, judged with a real spamd: `python -m e2e_lab.real_mails`, in tests/, writes docs/real-mails.md.

Neither network nor Bayes nor today's date has a part in it. Each mail comes again from the first public address in its
Received fields, at the time that this field names, with the greeting and the reverse name that it shows.
"""

import asyncio
import email.utils
import ipaddress
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import NamedTuple

from e2e_lab.in_process import AT_ONCE, Mail, earmark, generation, on_the_wire
from e2e_lab.processes import told_by
from e2e_lab.spamd import Spamd
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import points_text
from earmark.core.received_forms import read_line
from earmark.core.verdict import Action
from earmark.wire.message import split_header

CORPUS = Path(__file__).parents[1] / "corpus"
TABLE = Path(__file__).parents[2] / "docs" / "real-mails.md"
FOLDERS = {Action.ACCEPT: "Inbox", Action.MARK: "Junk"}
ANYBODY = Mail("192.0.2.10", "mail.sender.example", "", b"", 0)
"""Who hands over a mail that says of no public host that it did."""

HEAD = """\
# Sixty real mails

What becomes of each mail of `tests/corpus` under the shipped policy, with {version} as Debian
packages it, without its network tests and without Bayes. Written by `cd tests && python -m e2e_lab.real_mails`;
`tests/e2e/test_real_mails.py` compares it with what it measures.

* **SpamAssassin** is what it gives the mail alone, asked by itself about the same bytes. **earmark** is what all our
  other findings give. **sum** is the two together, as `X-Spam-Score` has it; from 5.00 on it is Junk.
* The mails are of 2001 to 2003. Each comes from the first public address in its Received fields, at the time and with
  the names that this field shows; one without such a field comes from an ordinary mail server.
* What DNS said then is not known, so every look-up fails but that of such a name: no list has anybody here, and errors
  count nothing. SpamAssassin is told the name in HELO where the reverse name is not known.
* The mails are old and few. This says that the sum is a sum, not how well spam is caught.

{counts}

| mail | SpamAssassin | earmark | sum | folder | findings of earmark |
|---|---:|---:|---:|---|---|
"""


class Row(NamedTuple):
    """One mail, and what became of it."""

    label: str
    alone: int
    """What spamd says by itself, hundredths of a point."""
    ours: int
    """The sum of our other findings."""
    total: int
    """The mark score."""
    flagged: bool
    folder: str
    findings: tuple[str, ...]


def mails() -> dict[str, Mail]:
    """Return the corpus by label, such as "spam-1/00042"."""
    files = sorted(CORPUS.glob("*/*.eml"))
    return {f"{file.parent.name}/{file.name.partition('.')[0]}": _handed_over(file.read_bytes()) for file in files}


def _handed_over(message: bytes) -> Mail:
    fields, _ = split_header(message)
    values = [(name.lower(), value.decode("latin-1")) for name, value in fields]
    paths = [value.strip().strip("<>") for name, value in values if name == b"return-path"]
    dates = [_time(value) for name, value in values if name in (b"date", b"delivery-date")]
    mail = ANYBODY._replace(
        message=on_the_wire(message), sender=next(iter(paths), ""), at=next(filter(None, dates), 0.0)
    )
    for value in (value for name, value in values if name == b"received"):
        line = read_line(value.encode("latin-1"))
        if line.address and ipaddress.ip_address(line.address).is_global:
            at = _time(value.rpartition(";")[2]) or mail.at
            return mail._replace(client=line.address, helo=line.helo, at=at)
    return mail


def _time(text: str) -> float:
    """Return a date of RFC 5322, or one as `date` writes it, in seconds since the epoch; 0.0 for anything else."""
    try:
        found = email.utils.parsedate_to_datetime(" ".join(text.split()))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _zone(handed_over: Iterable[Mail]) -> ZoneFile:
    """Return the reverse names that the mails show; whatever else is asked fails, as errors are no evidence."""
    lines = ["*. SERVFAIL"]
    for mail in handed_over:
        names = {
            line.rdns
            for name, value in split_header(mail.message)[0]
            if name.lower() == b"received" and (line := read_line(value)).address == mail.client and "." in line.rdns
        }
        for name in sorted(names)[:1]:
            lines += [f"{ipaddress.ip_address(mail.client).reverse_pointer} PTR {name}", f"{name} A {mail.client}"]
    return ZoneFile.parse("\n".join(dict.fromkeys(lines)))


@contextmanager
def local_spamd() -> Iterator[Spamd]:
    """Give a spamd that asks nobody."""
    top = Path(tempfile.mkdtemp(prefix="earmark-e2e-", dir="/tmp"))
    top.chmod(0o755)
    spamd = Spamd(top / "spamd")
    try:
        spamd.wait_ready()
        yield spamd
    finally:
        spamd.stop()
        shutil.rmtree(top)


async def rows(spamd: Spamd) -> list[Row]:
    """Judge them all."""
    corpus = mails()
    async with earmark(generation(spamd.endpoint), _zone(corpus.values())) as judge:
        handled = await judge.handle_all(corpus.values())
    with ThreadPoolExecutor(AT_ONCE) as threads:
        alone = list(threads.map(lambda one: spamd.scan(one.scanned), handled))
    table = []
    for label, one, scan in zip(corpus, handled, alone, strict=True):
        ((_, _, outcome),) = one.judged.recipients
        ours = [finding for finding in outcome.findings if finding.name != "SPAMASSASSIN"]
        table.append(
            Row(
                label,
                scan.score,
                sum(finding.score for finding in ours),
                outcome.mark_score,
                one.fields.get("X-Spam-Flag") == "YES",
                FOLDERS.get(outcome.action, f"refused ({one.refused})"),
                tuple(finding.name for finding in ours if finding.score),
            )
        )
    return table


def document(table: Sequence[Row], version: str) -> str:
    """Return docs/real-mails.md."""
    sets = dict.fromkeys(row.label.partition("/")[0] for row in table)
    junk = [row.label.partition("/")[0] for row in table if row.folder == "Junk"]
    counts = ", ".join(f"{name} {junk.count(name)}" for name in sets)
    lines = [
        f"| {row.label} | {points_text(row.alone)} | {points_text(row.ours)} | {points_text(row.total)} "
        f"| {row.folder} | {', '.join(row.findings) or '-'} |\n"
        for row in table
    ]
    return HEAD.format(version=version, counts=f"In Junk, of twelve each: {counts}.") + "".join(lines)


def version() -> str:
    """Return what spamd calls itself, such as "SpamAssassin Server version 4.0.1"."""
    return told_by("spamd", "--version").stdout.splitlines()[0]


if __name__ == "__main__":
    with local_spamd() as running:
        TABLE.write_text(document(asyncio.run(rows(running)), version()), "utf-8")
