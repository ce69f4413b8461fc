"""A Debian mirror for machines without a way out: what they ask for comes from the mirror that apt uses here."""

import os
import subprocess
import threading
import urllib.error
import urllib.request
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

ADDRESS: Final = "192.0.2.80"
"""Where machines find it, at port 80."""
_ASKED = ("apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Created-By: Packages")
_ARCHIVES = {
    "debian": ("bookworm", "http://deb.debian.org/debian"),
    "debian-security": ("bookworm-security", "http://deb.debian.org/debian-security"),
}
"""By first part of the path: whose mirror it is, and where that is where apt knows of none."""
_NEVER_CHANGES = ("/pool/", "/by-hash/")


class Mirror:
    """Serves from the constructor to `stop`: /debian/, /debian-security/, and the files of a directory at /wheels/."""

    def __init__(self, wheels: Path) -> None:
        said = subprocess.run(_ASKED, capture_output=True, text=True, check=True).stdout
        here = dict(line.split(maxsplit=1) for line in said.splitlines()[::-1] if " " in line)
        sites = {name: here.get(codename, usual) for name, (codename, usual) in _ARCHIVES.items()}
        cache = Path(os.environ.get("EARMARK_CACHE") or Path.home() / ".cache" / "earmark") / "packages"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, sites, cache, directory=str(wheels)))
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def here(self) -> str:
        """Where this computer finds it, as a proxy for what machines call http://192.0.2.80."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def option(self) -> str:
        """Return what QEMU's user network needs to lead there, and nowhere else."""
        return f"restrict=on,guestfwd=tcp:{ADDRESS}:80-cmd:busybox nc 127.0.0.1 {self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Answer(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, sites: dict[str, str], cache: Path, *args: object, directory: str) -> None:
        self._sites = sites
        self._cache = cache
        super().__init__(*args, directory=directory)  # type: ignore[arg-type] # what the server hands on

    def do_GET(self) -> None:
        archive, _, path = self.path.removeprefix(f"http://{ADDRESS}").removeprefix("/").partition("/")
        if archive == "wheels":
            self.path = f"/{path}"
            super().do_GET()
        elif archive in self._sites and not {"", ".."} & set(path.split("/")):
            self._answer(archive, path)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, archive: str, path: str) -> None:
        try:
            content = self._fetched(archive, path)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        except OSError as error:
            self.send_error(HTTPStatus.BAD_GATEWAY, str(error))
        else:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _fetched(self, archive: str, path: str) -> bytes:
        kept = self._cache / archive / path
        if kept.is_file():
            return kept.read_bytes()
        with urllib.request.urlopen(f"{self._sites[archive]}/{path}", timeout=120) as answer:  # noqa: S310 - as apt has it
            content: bytes = answer.read()
        if any(part in f"/{path}" for part in _NEVER_CHANGES):
            _keep(kept, content)
        return content

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: what fails, whoever asked says."""


def _keep(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{threading.get_ident()}.new")
    new.write_bytes(content)
    new.replace(file)
