"""Whatever is done in whatever order: what is held can be read, what is over is gone, and nothing goes out twice."""

import io
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from earmark.core.held import Held
from earmark.log import Log
from earmark.stores import quarantine_index as index
from earmark.stores.quarantine_files import NewFile, ids
from earmark.stores.quarantine_index import State
from earmark.stores.quarantine_upkeep import adopt, remove_unneeded
from earmark.stores.sqlite import StoreError
from fakes.held import BOB, EVE, held, message, recipient

TOKEN = "0123456789abcdef" * 2
MEGABYTE = 1_000_000
RECIPIENT = 1000
DAY = 86400.0


class Quarantine(RuleBasedStateMachine):
    """The store, and beside it what should be in it: by message and recipient, its state and until when."""

    kept: Bundle[tuple[str, str]] = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self._top = tempfile.TemporaryDirectory(prefix="earmark-")
        self._directory = Path(self._top.name)
        self._log = Log(io.BytesIO())
        self._now = 4e9
        self._number = 0
        self._model: dict[tuple[str, str], tuple[State, float, int]] = {}
        self._sent: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        self._top.cleanup()

    def _used(self, domain: str) -> int:
        live = {
            (name, address): size
            for (name, address), (state, expires, size) in self._model.items()
            if address.endswith(domain) and state in (State.HELD, State.RELEASING) and expires > self._now
        }
        return sum({name: size for (name, _), size in live.items()}.values()) + RECIPIENT * len(live)

    def _has_room(self, domain: str, addresses: tuple[str, ...], size: int) -> bool:
        own = size + RECIPIENT * sum(address.endswith(domain) for address in addresses)
        return self._used(domain) + own <= MEGABYTE

    @rule(
        target=kept,
        addresses=st.sampled_from([(BOB,), (EVE,), (BOB, EVE), ("other@example.org", BOB)]),
        size=st.sampled_from([1, 300_000, MEGABYTE - 300_000 - 2 * RECIPIENT]),
        days=st.integers(1, 3),
        dies=st.booleans(),
    )
    def keep(self, addresses: tuple[str, ...], size: int, days: int, *, dies: bool) -> tuple[str, str]:
        self._number += 1
        name = f"{self._number:012}"
        what = held(name, *(recipient(address, days=days) for address in addresses), at=self._now)
        room = all(self._has_room(address.partition("@")[2], addresses, size) for address in addresses)
        file = NewFile(self._directory, what)
        file.write(b"x" * size)
        file.keep()
        if not dies:
            self._enter(file, what, room=room)
        if room or dies:
            for address in addresses:
                self._model[name, address] = (State.HELD, self._now + days * DAY, size)
        if dies:
            self.find()
        return name, addresses[-1]

    def _enter(self, file: NewFile, what: Held, *, room: bool) -> None:
        with index.opened(self._directory, self._log) as connection:
            try:
                index.assert_room(connection, what, file.size, self._now)
            except StoreError:
                assert not room
                file.discard()
                index.forget(connection, what.id)
            else:
                assert room
                index.enter(connection, what, file.size)

    @rule()
    def find(self) -> None:
        with index.opened(self._directory, self._log) as connection:
            assert not adopt(connection, self._directory, self._log)

    @rule(key=kept, again=st.booleans(), ends=st.sampled_from([State.HELD, State.RELEASED, None]), seen=st.booleans())
    def release(self, key: tuple[str, str], ends: State | None, *, again: bool, seen: bool) -> None:
        with index.opened(self._directory, self._log) as connection:
            state, expires, size = self._model.get(key, (State.DELETED, 0.0, 0))
            may = state is State.HELD or (again and state is State.RELEASING)
            assert index.begin_release(connection, *key, TOKEN, self._now, again=again) == may
            if not may:
                return
            assert again or key not in self._sent
            if seen:
                assert index.spend(connection, key[0], TOKEN, self._now)
                assert not index.spend(connection, key[0], TOKEN, self._now)
            if ends:
                assert index.end_release(connection, *key, ends) == seen
            if ends is not State.HELD:
                self._sent.add(key)
            self._model[key] = (ends or State.RELEASING, expires, size)

    @rule(key=kept)
    def delete(self, key: tuple[str, str]) -> None:
        with index.opened(self._directory, self._log) as connection:
            state, expires, size = self._model.get(key, (State.DELETED, 0.0, 0))
            assert index.delete(connection, *key) == (state in (State.HELD, State.RELEASING))
            if key in self._model and state is not State.RELEASED:
                self._model[key] = (State.DELETED, expires, size)

    @rule(days=st.floats(0.1, 1.5))
    def wait_and_prune(self, days: float) -> None:
        self._now += days * DAY
        with index.opened(self._directory, self._log) as connection:
            remove_unneeded(connection, self._directory, self._now)
            index.forget_expired(connection, self._now)
        self._model = {key: known for key, known in self._model.items() if known[1] > self._now}

    @invariant()
    def the_index_says_what_has_happened(self) -> None:
        with index.opened(self._directory, self._log) as connection:
            known = {(row.id, row.recipient): (row.state, row.expires, row.size) for row in index.rows(connection)}
        assert known == self._model

    @invariant()
    def what_is_needed_is_there_whole(self) -> None:
        for (name, _), (state, expires, size) in self._model.items():
            if state in (State.HELD, State.RELEASING) and expires > self._now:
                assert len(message(self._directory, name)) == size

    @invariant()
    def nothing_is_there_that_nobody_knows_of(self) -> None:
        assert ids(self._directory) <= {name for name, _ in self._model}


TestQuarantine = Quarantine.TestCase
TestQuarantine.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
