"""What a user does with a mail client: IMAP as the standard library speaks it."""

import imaplib
from typing import Any, Self


class MailClient:
    """One user's connection to Dovecot."""

    def __init__(self, port: int, user: str) -> None:
        self._imap = imaplib.IMAP4("127.0.0.1", port, timeout=60)
        self._imap.login(user, "any")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._imap.logout()

    def move(self, source: str, target: str) -> None:
        """Move all that is in a folder. Dovecot answers once its scripts are through."""
        self._to_all("MOVE", source, target)

    def copy(self, source: str, target: str) -> None:
        """Copy all that is in a folder."""
        self._to_all("COPY", source, target)

    def append(self, target: str, message: bytes) -> None:
        """Put a message of the client's own into a folder."""
        self._done(self._imap.append(target, None, None, message))

    def create(self, folder: str) -> None:
        self._done(self._imap.create(folder))

    def delete(self, folder: str) -> None:
        """Delete all that is in a folder, as clients do that have no trash."""
        assert self.count(folder), f"nothing in {folder}"
        self._done(self._imap.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)"))
        self._done(self._imap.expunge())

    def count(self, folder: str) -> int:
        """Return how many messages a folder holds."""
        return int(self._done(self._imap.select(folder))[0])

    def _to_all(self, command: str, source: str, target: str) -> None:
        assert self.count(source), f"nothing in {source}"
        self._done(self._imap.uid(command, "1:*", target))

    def _done(self, answer: tuple[str, list[Any]]) -> list[Any]:
        assert answer[0] == "OK", answer
        return answer[1]
