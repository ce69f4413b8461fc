from pathlib import Path

import pytest

from earmark.clients.dns import Cache
from earmark.clients.dns.server import Server, read_address, system_resolvers
from earmark.core.evidence import Fact, Status


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[192.0.2.53]", ("192.0.2.53", 53)),
    ],
)
def test_a_resolver_is_an_address_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "[::1]:x", "[::1"]
)
def test_what_is_no_resolver_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|address"):
        read_address(text)


def test_the_systems_resolvers_are_read_and_its_search_list_is_not(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# comment\nsearch example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver\n")
    assert [read_address(text) for text in system_resolvers(path)] == [("192.0.2.53", 53), ("2001:db8::53", 53)]


def test_without_resolv_conf_the_resolver_is_on_this_host(tmp_path: Path) -> None:
    assert system_resolvers(tmp_path / "none") == ["127.0.0.1"]


async def test_an_id_that_is_waited_for_is_not_drawn_again() -> None:
    server = Server[str]("127.0.0.1", lambda *_: None, lambda *_: None)
    server._numbers.extend([8, 7, 7])
    socket, first = server.draw(0.0)
    socket.waiting[first] = "somebody"
    assert (first, server.draw(0.0)) == (7, (socket, 8))
    server.close()


FACT = Fact(Status.NONE)


def test_the_cache_forgets_what_is_over() -> None:
    cache = Cache(10)
    cache.put("a", FACT, 60.0)
    assert cache.get("a", 59.9) is FACT
    assert cache.get("a", 60.0) is None


def test_a_full_cache_drops_what_was_not_asked_for_longest() -> None:
    cache = Cache(6)
    for key in "abx":
        cache.put(key, FACT, 60.0)
    assert cache.get("a", 1.0) is FACT
    for key in "cd":
        cache.put(key, FACT, 60.0)
    assert [key for key in "abcd" if cache.get(key, 1.0)] == ["a", "c", "d"]


def test_an_answer_learnt_again_takes_the_place_of_the_old_one() -> None:
    cache = Cache(4)
    for start in range(0, 600, 60):
        for key in "ab":
            cache.put(key, FACT, start + 60.0)
        assert [key for key in "ab" if cache.get(key, start + 1.0)] == ["a", "b"]
    assert len(cache) <= 4


def test_ten_thousand_clients_leave_the_cache_as_large_as_it_may_be() -> None:
    cache = Cache(100)
    for number in range(10_000):
        cache.put(number, FACT, 60.0)
        assert len(cache) <= 100
    assert len(cache) >= 50


def test_long_answers_about_names_that_a_sender_chose_take_the_room_of_many() -> None:
    cache = Cache(100)
    for number in range(1000):
        cache.put(number, Fact(Status.PASS, ("x" * 255,) * 40), 60.0)
        held = [fact for at in range(number + 1) if (fact := (cache._young.get(at) or cache._old.get(at)))]
        assert sum(len(text) for _, fact in held for text in fact.data) <= 110 * 1024
    assert cache.get(999, 1.0)
