"""DKIM and ARC as a client: from a message that is held to what its signatures came to (docs/dkim.md)."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from earmark.clients.dkim.chain import read_chain
from earmark.clients.dkim.fields import (
    Tags,
    UnusableError,
    asked_name,
    check_field,
    check_key,
    describe,
    key_name,
    read_key,
    read_tags,
)
from earmark.clients.dkim.frames import Answer, Request
from earmark.clients.dkim.process import UnverifiedError, Verifier
from earmark.clients.dns import Lookups
from earmark.content import Content, with_crlf
from earmark.core.authentication.signature import Signature, signature_text
from earmark.core.evidence import ArcChain, Fact, Question, Signatures, Status

Deliver = Callable[[Question, Fact], None]

SIGNATURES_AT_MOST = 5
"""Signatures that are looked at, the topmost first."""
AT_MOST = 32 * 1024 * 1024
"""Bytes of a message that is verified; see docs/dkim.md for what such a one costs."""
_KEYS_WITHIN = 3.0
"""Seconds for the look-up of keys, all of them side by side."""


class Dkim:
    """Answers Signatures and ArcChain about messages that it was given to hold.

    Keys are fetched first, by our own resolver, so that a time-out is no failed signature; then one child verifies.
    """

    def __init__(self, lookups: Lookups, *, at_most: int = AT_MOST, deadline: float = 4.0, waiting: int = 32) -> None:
        """`deadline` is in seconds for the child's work on one question; `waiting` is how many may wait for it."""
        self._lookups = lookups
        self._at_most = at_most
        self._verifier = Verifier(deadline=deadline, waiting=waiting)
        self._held: dict[str, Content] = {}
        self._open: dict[Question, list[Deliver]] = {}
        self._tasks: dict[Question, asyncio.Task[None]] = {}

    def hold(self, content_id: str, content: Content) -> None:
        """Be ready for questions about a message, until it is dropped. It stays the caller's to close."""
        self._held[content_id] = content

    def drop(self, content_id: str) -> None:
        """Forget a message. Who still waits for an answer about it is told TEMPERROR."""
        if self._held.pop(content_id, None) is not None:
            for question in (Signatures(content_id), ArcChain(content_id)):
                task = self._tasks.get(question)
                if task is not None:
                    task.cancel()

    def close(self) -> None:
        """Stop working, and end the child. Who still waits is told TEMPERROR."""
        for task in self._tasks.values():
            task.cancel()
        for question in list(self._open):
            self._finish(question, _unknown("closed"))
        self._verifier.end()

    def ask(self, question: Signatures | ArcChain, deliver: Deliver) -> None:
        """Begin to answer; `deliver` is called once, perhaps at once."""
        content = self._held.get(question.content)
        if content is None:
            deliver(question, _unknown("the message is not there"))
        elif question in self._open:
            self._open[question].append(deliver)
        elif not _is_signed(question, content):
            deliver(question, Fact(Status.NONE, at=time.time(), source="earmark"))
        elif content.why or content.size > self._at_most:
            deliver(question, _unknown(content.why or f"larger than {self._at_most} bytes"))
        else:
            self._open[question] = [deliver]
            task = asyncio.get_running_loop().create_task(self._work_on(question, content))
            self._tasks[question] = task
            task.add_done_callback(partial(self._ended, question))

    async def _work_on(self, question: Signatures | ArcChain, content: Content) -> None:
        answer = self._signatures if isinstance(question, Signatures) else self._chain
        self._finish(question, await answer(content))

    def _ended(self, question: Question, task: asyncio.Task[None]) -> None:
        """Answer for a task that was cancelled, perhaps before it took its first step, or that failed."""
        if self._tasks.get(question) is task:
            self._finish(question, _unknown("broken off"))

    def _finish(self, question: Question, fact: Fact) -> None:
        self._tasks.pop(question, None)
        for deliver in self._open.pop(question, ()):
            try:
                deliver(question, fact)
            except Exception as error:  # noqa: BLE001 - our own bug, reported; the others get their answer
                context = {"message": "taking an answer about DKIM", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    async def _signatures(self, content: Content) -> Fact:
        values = [value for name, value in content.headers if name.lower() == b"dkim-signature"]
        candidates = [_Candidate(value) for value in values[:SIGNATURES_AT_MOST]]
        records = await self._records(candidate.key_name for candidate in candidates if candidate.is_open)
        for candidate in candidates:
            candidate.take_key(records)
        positions = tuple(position for position, candidate in enumerate(candidates) if candidate.is_open)
        if positions:
            keys = {candidates[position].asked_name: candidates[position].record for position in positions}
            answers = await self._verify(content, positions, keys)
            for position, answer in zip(positions, answers, strict=True):
                candidates[position].take_answer(answer)
        return _sum_up([candidate.signature for candidate in candidates], len(values))

    async def _chain(self, content: Content) -> Fact:
        domains: tuple[str, ...] = ()
        try:
            chain = read_chain(content.headers)
            if chain is None:
                return Fact(Status.NONE, at=time.time(), source="earmark")
            domains = chain.domains
            records = await self._records(key_name(signature) for _, signature in chain.signed)
            keys = {}
            for tags, signature in chain.signed:
                key = read_key(key_name(signature), records[key_name(signature)])
                check_key(key, signature)
                keys[asked_name(tags)] = key.record
        except UnusableError as error:
            status = Status.TEMPERROR if error.status is Status.TEMPERROR else Status.FAIL
            return Fact(status, domains, 0, time.time(), "earmark", str(error))
        (answer,) = await self._verify(content, (), keys)
        return Fact(answer.status, answer.domains or domains, 0, time.time(), "earmark", answer.why)

    async def _records(self, names: Iterable[str]) -> dict[str, Fact]:
        """Look up key records, all at once, while the child starts."""
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        self._verifier.start()
        found = await asyncio.gather(*(self._lookups.get(name, "TXT", give_up=_KEYS_WITHIN) for name in asked))
        return dict(zip(asked, found, strict=True))

    async def _verify(self, content: Content, positions: tuple[int, ...], keys: dict[str, str]) -> Sequence[Answer]:
        headers = tuple((name, with_crlf(value)) for name, value in content.headers)
        try:
            return await self._verifier.verify(Request(positions, keys, headers, content.body_size), content.body)
        except UnverifiedError as error:
            return [Answer(Status.TEMPERROR, why=str(error))] * max(len(positions), 1)


class _Candidate:
    """A signature on its way to a result."""

    __slots__ = ("_tags", "is_open", "record", "signature", "testing")

    def __init__(self, value: bytes) -> None:
        self._tags: Tags = {}
        self.is_open = True
        """Nothing speaks against it yet."""
        self.signature = Signature(Status.TEMPERROR)
        self.record = ""
        self.testing = False
        try:
            self._tags = read_tags(value)
            self.signature = describe(self._tags)
            check_field(self._tags, self.signature, time.time())
        except UnusableError as error:
            self._settle(error)

    @property
    def key_name(self) -> str:
        return key_name(self.signature)

    @property
    def asked_name(self) -> str:
        return asked_name(self._tags)

    def take_key(self, records: dict[str, Fact]) -> None:
        """Take the key from what was found in DNS."""
        if self.is_open:
            try:
                key = read_key(self.key_name, records[self.key_name])
                check_key(key, self.signature)
                self.record, self.testing = key.record, key.testing
            except UnusableError as error:
                self._settle(error)

    def take_answer(self, answer: Answer) -> None:
        """Take what the child says."""
        note = "the key is being tested (t=y)" if self.testing else ""
        why = "; ".join(filter(None, (answer.why, note)))
        self.signature = self.signature._replace(status=answer.status, bits=answer.bits, why=why)

    def _settle(self, error: UnusableError) -> None:
        self.is_open = False
        self.signature = self.signature._replace(status=error.status, why=str(error))


def _is_signed(question: Signatures | ArcChain, content: Content) -> bool:
    if isinstance(question, Signatures):
        return any(name.lower() == b"dkim-signature" for name, _ in content.headers)
    return any(name[:4].lower() == b"arc-" for name, _ in content.headers)


def _sum_up(signatures: Sequence[Signature], count: int) -> Fact:
    """Return one Fact for all signatures; see `Signatures`."""
    by_status = {signature.status: signature for signature in reversed(signatures)}
    decisive = by_status.get(Status.PASS) or by_status.get(Status.TEMPERROR) or signatures[0]
    more = f"{count - len(signatures)} more signatures were not looked at" if count > len(signatures) else ""
    why = "; ".join(filter(None, (decisive.why, more)))
    return Fact(decisive.status, tuple(map(signature_text, signatures)), 0, time.time(), "earmark", why)


def _unknown(why: str) -> Fact:
    return Fact(Status.TEMPERROR, (), 0, time.time(), "earmark", why)
