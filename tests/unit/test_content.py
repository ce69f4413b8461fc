import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from earmark.content import Content
from earmark.core.mail import Header

HEADERS = [Header(b"From", b" a@example.org"), Header(b"Subject", b" folded\n\tvalue"), Header(b"X", b"\xff")]
AS_BYTES = b"From: a@example.org\r\nSubject: folded\r\n\tvalue\r\nX:\xff\r\n\r\n"


def files_without_name() -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(str(link.readlink()).endswith("(deleted)") for link in links if link.is_symlink())


def filled(*chunks: bytes, in_memory: int = 100, at_most: int = 10_000) -> Content:
    content = Content(HEADERS, in_memory=in_memory, at_most=at_most)
    for chunk in chunks:
        content.add(chunk)
    return content


@pytest.mark.parametrize("length", [0, 10, 100, 101, 5000], ids=lambda length: f"{length} bytes")
def test_the_message_comes_out_as_it_went_in(length: int) -> None:
    body = (b"line\r\n" * 1000)[:length]
    content = filled(*(body[at : at + 7] for at in range(0, length, 7)))
    assert b"".join(content.chunks()) == AS_BYTES + body
    assert content.size == len(AS_BYTES + body)
    assert content.why == ""
    content.close()


def test_a_body_in_memory_opens_no_file_and_a_longer_one_opens_one_without_a_name() -> None:
    before = files_without_name()
    small, large = filled(b"x" * 100), filled(b"x" * 60, b"x" * 60)
    assert files_without_name() == before + 1
    small.close()
    large.close()
    assert files_without_name() == before


def test_two_may_read_at_once() -> None:
    content = filled(*([b"0123456789" * 10] * 90))
    pairs = list(zip(content.chunks(), content.chunks(), strict=True))
    assert all(one == other for one, other in pairs)
    assert b"".join(one for one, _ in pairs) == AS_BYTES + b"0123456789" * 900
    content.close()


def test_a_message_over_the_limit_is_given_up_and_still_measured() -> None:
    before = files_without_name()
    content = filled(b"x" * 9000)
    content.add(b"x" * 5000)
    content.add(b"x" * 1000)
    assert content.why == "larger than 10000 bytes"
    assert content.size == len(AS_BYTES) + 15_000
    assert list(content.chunks()) == []
    assert files_without_name() == before


def test_a_header_that_was_cut_is_no_message() -> None:
    content = Content(HEADERS, truncated=True)
    content.add(b"x")
    assert content.why == "its header was cut"
    assert list(content.chunks()) == []


def test_what_is_closed_is_gone() -> None:
    content = filled(b"x" * 500)
    reading = content.chunks()
    assert next(reading) == AS_BYTES
    content.close()
    assert list(reading) == []
    assert content.why == "closed"
    content.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """Files of this process may have 1,000 bytes: the kernel's own way to say that there is no room.

    Not a fixture: what runs the tests may write its report to a file before a fixture ends.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_reason_and_no_exception() -> None:
    before = files_without_name()
    with full_disk():
        content = filled(b"x" * 900)
        assert content.why == ""
        content.add(b"x" * 200)
    assert content.why == "no space: File too large"
    assert list(content.chunks()) == []
    assert files_without_name() == before


def test_no_file_can_be_opened() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        content = filled(b"x" * 900)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert content.why == "no space: Too many open files"


async def followed(content: Content) -> bytes:
    return b"".join([piece async for piece in content.follow()])


async def test_a_follower_reads_what_comes_later_and_what_goes_to_a_file_meanwhile() -> None:
    content = Content(HEADERS, in_memory=100)
    content.add(b"0123456789")
    reading = asyncio.create_task(followed(content))
    for _ in range(50):
        await asyncio.sleep(0)
        content.add(b"abcdefghij")
    content.finish()
    assert await reading == AS_BYTES + b"0123456789" + b"abcdefghij" * 50
    content.close()


async def test_a_follower_stops_where_the_message_is_given_up() -> None:
    content = filled(b"x" * 50)
    reading = asyncio.create_task(followed(content))
    await asyncio.sleep(0)
    content.close()
    assert await reading == AS_BYTES + b"x" * 50
    assert content.why == "closed"
