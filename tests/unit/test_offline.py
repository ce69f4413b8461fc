import asyncio

import pytest

from earmark.clients.dns import Resolver
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import Fact, Status
from earmark.demo.nameserver import serve_zone

TEXT = """
# a comment; and more
7.2.0.192.zen.example. A 127.0.0.4   ; listed
7.2.0.192.zen.example. A 127.0.0.10
Mail.Example A 192.0.2.1
example. MX 10 host.
example. TXT "a;b#c" " \\"d\\""
null.example. MX 0 .
alias.example. CNAME mail.example.
broken.example. SERVFAIL
silent.example. TIMEOUT
gone.example. NXDOMAIN
*.wild.example. A 192.0.2.9
there.wild.example. TXT x
*.down.example. SERVFAIL
"""


def show(fact: Fact) -> str:
    return f"{fact.status} {' | '.join(fact.data)}{fact.why}"


@pytest.mark.parametrize(
    ("name", "rtype", "shown"),
    [
        ("7.2.0.192.zen.example", "A", "pass 127.0.0.4 | 127.0.0.10"),
        ("MAIL.example.", "A", "pass 192.0.2.1"),
        ("example", "MX", "pass 10 host"),
        ("example", "TXT", 'pass a;b#c "d"'),
        ("null.example", "MX", "pass 0 ."),
        ("alias.example", "A", "pass 192.0.2.1"),
        ("alias.example", "MX", "none NODATA"),
        ("mail.example", "AAAA", "none NODATA"),
        ("absent.example", "A", "none NXDOMAIN"),
        ("gone.example", "A", "none NXDOMAIN"),
        ("broken.example", "A", "temperror SERVFAIL"),
        ("silent.example", "PTR", "temperror timeout"),
        ("bad name.example", "A", "none not a domain name"),
        ("x.wild.example", "A", "pass 192.0.2.9"),
        ("y.x.wild.example", "A", "pass 192.0.2.9"),
        ("x.wild.example", "MX", "none NXDOMAIN"),
        ("there.wild.example", "A", "none NODATA"),
        ("x.down.example", "MX", "temperror SERVFAIL"),
    ],
)
async def test_lines_answer_as_written(name: str, rtype: str, shown: str) -> None:
    zone = ZoneFile.parse(TEXT, "FILE")
    fact = await zone.get(name, rtype)
    given: list[Fact] = []
    zone.lookup(name, rtype, given.append)
    assert show(fact) == shown
    assert [show(one) for one in given] == [shown]
    assert (fact.source, fact.ttl) == ("FILE", 300)
    assert fact.at > 1e9


@pytest.mark.parametrize(
    ("text", "name", "rtype", "shown"),
    [
        ("*. A 192.0.2.9", "any.example", "A", "pass 192.0.2.9"),
        ("*. A 192.0.2.9", "any.example", "MX", "none NXDOMAIN"),
        ("*. A 192.0.2.9\nhere.example. TXT x", "here.example", "A", "none NODATA"),
        ("*. SERVFAIL", "any.example", "MX", "temperror SERVFAIL"),
        ("*. TIMEOUT\n*. A 192.0.2.9", "any.example", "A", "pass 192.0.2.9"),
        ("*. timeout\n*. A 192.0.2.9", "any.example", "MX", "temperror timeout"),
        ("a. CNAME b.\nb. CNAME a.", "a", "A", "temperror SERVFAIL"),
        ("a. CNAME b.", "a", "A", "none NXDOMAIN"),
    ],
)
async def test_a_star_answers_for_absent_names(text: str, name: str, rtype: str, shown: str) -> None:
    assert show(await ZoneFile.parse(text).get(name, rtype)) == shown


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.example.", "expected NAME TYPE RDATA or NAME STATUS"),
        ("a.example. A", "expected NAME TYPE RDATA"),
        ("a.example. BOGUS x", "expected NAME TYPE RDATA"),
        ("a.example. SERVFAIL now", "expected NAME TYPE RDATA"),
        ("a.example. A 192.0.2.256", "not the data of A: '192.0.2.256'"),
        ("a.example. MX host.", "not the data of MX: 'host.'"),
        ('a.example. TXT "open', "a quote that does not end"),
        ("a.example. A 192.0.2.1 192.0.2.2", ""),
    ],
)
def test_an_error_names_its_line(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^FILE:3: ") as caught:
        ZoneFile.parse(f"\n# comment\n{line}\n", "FILE")
    assert problem in str(caught.value)


async def test_a_served_zone_answers_as_the_file_does() -> None:
    zone = ZoneFile.parse(TEXT + "".join(f"long.example. TXT {'x' * 200}{number}\n" for number in range(20)))
    port, close = await serve_zone(zone)
    resolver = Resolver([f"127.0.0.1:{port}"])
    for name, rtype in [
        ("7.2.0.192.zen.example", "A"), ("example", "MX"), ("example", "TXT"), ("null.example", "MX"),
        ("alias.example", "A"), ("alias.example", "MX"), ("mail.example", "AAAA"), ("absent.example", "A"),
        ("broken.example", "A"), ("x.wild.example", "A"), ("x.wild.example", "MX"), ("long.example", "TXT"),
    ]:  # fmt: skip
        served, read = await asyncio.gather(resolver.get(name, rtype), zone.get(name, rtype))
        assert (served.status, set(served.data), served.why) == (read.status, set(read.data), read.why), name
    assert (await resolver.get("silent.example", "A", give_up=0.1)).why == "timeout"
    resolver.close()
    close()


async def test_a_server_survives_what_is_no_query() -> None:
    port, close = await serve_zone(ZoneFile.parse("a.example. A 192.0.2.1"))
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
    for packet in (b"", b"x", bytes(12), bytes(600), bytes(range(256)), b"\0\1\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"):
        transport.sendto(packet)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\0\x05hello")
    assert await reader.read() == b""
    writer.close()
    resolver = Resolver([f"127.0.0.1:{port}"])
    assert (await resolver.get("a.example", "A")).status is Status.PASS
    assert not reported
    transport.close()
    resolver.close()
    close()
