"""Listening sockets: opened safely, told from stale ones, closed for everybody at once."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from earmark.service.sockets import ListenError, Listeners, open_listener, parse_inet


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory with a name that is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="earmark-") as directory:
        yield Path(directory)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("inet:127.0.0.1:8890", ("127.0.0.1", 8890)),
        ("inet:[::1]:8890", ("::1", 8890)),
        ("inet:mx.example.org:25", ("mx.example.org", 25)),
    ],
)
def test_an_address_is_read_as_postfix_spells_it(spec: str, expected: tuple[str, int]) -> None:
    assert parse_inet(spec) == expected


@pytest.mark.parametrize("spec", ["8890", "inet:8890", "inet:127.0.0.1:", "inet:127.0.0.1:smtp", "tcp:127.0.0.1:1"])
def test_anything_else_is_refused_with_its_own_words(spec: str) -> None:
    with pytest.raises(ListenError, match=spec):
        parse_inet(spec)


def test_a_tcp_listener_never_blocks_and_its_connections_never_wait_for_more() -> None:
    listener = open_listener("inet:127.0.0.1:0", 0o600)
    assert not listener.socket.getblocking()
    with socket.create_connection(listener.socket.getsockname()):
        accepted, _ = listener.socket.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.close()
    listener.close()


def test_a_unix_socket_has_the_mode_that_was_asked_for(top: Path) -> None:
    path = top / "milter"
    listener = open_listener(f"unix:{path}", 0o660)
    assert path.stat().st_mode & 0o777 == 0o660
    listener.close()
    assert not path.exists()


def test_a_live_socket_is_left_alone_and_a_stale_one_is_replaced(top: Path) -> None:
    spec = f"unix:{top}/milter"
    first = open_listener(spec, 0o600)
    with pytest.raises(ListenError, match="another instance answers there"):
        open_listener(spec, 0o600)
    first.forget()  # as the end of a killed process: the file stays, nobody answers
    second = open_listener(spec, 0o600)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{top}/milter")
    second.close()


def test_closing_leaves_a_file_that_somebody_else_has_put_there(top: Path) -> None:
    path = top / "milter"
    ours = open_listener(f"unix:{path}", 0o600)
    path.rename(top / "moved")
    theirs = open_listener(f"unix:{path}", 0o600)
    ours.close()
    assert path.exists()
    theirs.close()


def test_what_is_no_socket_is_never_removed(top: Path) -> None:
    (top / "milter").write_text("precious")
    with pytest.raises(ListenError, match="is not a socket"):
        open_listener(f"unix:{top}/milter", 0o600)
    assert (top / "milter").read_text() == "precious"


def test_a_directory_that_everybody_may_write_to_is_unsafe_without_the_sticky_bit(top: Path) -> None:
    open_to_all = top / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(ListenError, match="anybody may write there"):
        open_listener(f"unix:{open_to_all}/milter", 0o600)
    open_to_all.chmod(0o1777)
    open_listener(f"unix:{open_to_all}/milter", 0o600).close()


def refuses(kind: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(kind) as client, pytest.raises(ConnectionRefusedError):
        client.connect(address)
    return True


def test_a_closed_listener_refuses_even_while_another_process_holds_it(top: Path) -> None:
    inet = open_listener("inet:127.0.0.1:0", 0o600)
    unix = open_listener(f"unix:{top}/milter", 0o600)
    address = inet.socket.getsockname()
    os.link(top / "milter", top / "kept")
    held = [os.dup(inet.socket.fileno()), os.dup(unix.socket.fileno())]
    inet.close()
    unix.close()
    assert refuses(socket.AF_INET, address)
    assert refuses(socket.AF_UNIX, str(top / "kept"))
    for fd in held:
        os.close(fd)


def test_sockets_are_opened_all_or_none(top: Path) -> None:
    listeners = Listeners()
    listeners.require([f"unix:{top}/one"], 0o600)
    with pytest.raises(ListenError):
        listeners.require([f"unix:{top}/one", f"unix:{top}/two", f"unix:{top}/none/three"], 0o600)
    assert (top / "one").exists()
    assert not (top / "two").exists()
    listeners.keep([])
    assert not listeners
    assert not (top / "one").exists()
