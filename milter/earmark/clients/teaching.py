"""Lessons for SpamAssassin, by spamd's TELL (docs/spam-folder.md)."""

import asyncio
from collections.abc import Sequence

from earmark.clients.limits import Endpoint, Upstream, read_reply
from earmark.wire.spamd import PING, REPLY_AT_MOST, Lesson, decode_pong, decode_tell, encode_tell


async def teach(endpoints: Sequence[Endpoint], message: bytes, lesson: Lesson, user: str, *, deadline: float) -> bool:
    """Have one spamd learn a message for a user's Bayes database ("": the site's); return whether it did.

    False: it knew that already, or learns nothing. SpamAssassin forgets by itself what it had learnt of the message
    before. A second spamd is taken where one fails; both must use one database, since only one of them is told. Raises
    UnansweredError after `deadline` seconds at the latest; the message may have been learnt all the same.
    """

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return decode_tell(await _answer(reader, writer, encode_tell(len(message), lesson, user) + message))

    spamd = Upstream(endpoints, _ping, at_once=1, deadline=deadline)
    try:
        learned, _ = await spamd.run(tell)
    finally:
        spamd.close()
    return learned


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    decode_pong(await _answer(reader, writer, PING))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    writer.write_eof()
    return await read_reply(reader, REPLY_AT_MOST)
