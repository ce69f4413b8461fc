"""An SMTP server that says what it is told to, whatever it hears."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class Words:
    """A server on 127.0.0.1: the first answer greets, the others follow a line each, None is silence. Then it ends."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def serve(self) -> None:
        """Answer one client."""
        with suppress(OSError):
            client, _ = self._listening.accept()
            with client, client.makefile("rb") as lines:
                for number, answer in enumerate(self.answers):
                    if number:
                        self.heard.append(lines.readline())
                    if answer is None:
                        lines.read()  # until the client goes
                        return
                    client.sendall(answer)

    def close(self) -> None:
        """Serve nobody any more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def smtp_words(*answers: bytes | None) -> Iterator[Words]:
    """Serve one client with these answers."""
    words = Words(answers)
    thread = threading.Thread(target=words.serve)
    thread.start()
    try:
        yield words
    finally:
        words.close()
        thread.join(10)
        assert not thread.is_alive()
