"""The lines of docs/exim.md put earmark into Debian's own Exim configuration, split or in one file."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from e2e_lab.clamd import EICAR
from e2e_lab.exim import BINARY, ROOT, UNPACKED, Exim
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.processes import wait_until

ANSWERS = """
dc_eximconfig_configtype='internet'
dc_other_hostnames='lab.test:refuses.test'
dc_local_interfaces='127.0.0.1'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
dc_use_split_config='{split}'
dc_localdelivery='mail_spool'
"""
# In the lab's own words: where things are, and nothing asked of this machine's resolver.
MACROS = """
EARMARK_FILES = {directory}/earmark
EARMARK_POLICY_DOOR = inet:127.0.0.1:{policy}
EARMARK_CONTENT_DOOR = 127.0.0.1 {content}
SPOOLDIR = {directory}/spool
MAIN_HOST_LOOKUP =
host_lookup_order =
"""
LISTED = "203.0.113.7"
CLEAN = "192.0.2.10"

Play = Callable[..., list[str]]


def commands(split: str) -> list[str]:
    """Return the lines of the block of docs/exim.md for this kind of configuration."""
    blocks = re.findall(r"(?:^    .*\n)+", (ROOT / "docs" / "exim.md").read_text(), re.MULTILINE)
    split_block, single_block = (block for block in blocks if "cp -r deploy/exim" in block)
    return [line.strip() for line in (split_block if split == "true" else single_block).splitlines()]


@pytest.fixture(params=["true", "false"], ids=["split", "single file"])
def play(request: pytest.FixtureRequest, lab: Lab, exim: Exim) -> Iterator[Play]:
    """Debian's configuration with earmark in it: what it replies to a session by `exim -bh`."""
    etc = exim.top / "etc"  # where Exim's own account can go
    shutil.copytree(UNPACKED / "etc" / "exim4", etc)
    (etc / "update-exim4.conf.conf").write_text(ANSWERS.format(split=request.param))
    (etc / "mailname").write_text("mx.lab.test\n")
    tool = (UNPACKED / "usr" / "sbin" / "update-exim4.conf").read_text()
    for command in commands(request.param):
        subprocess.run(["sh", "-c", command.replace("/etc/exim4", str(etc))], cwd=ROOT, check=True)
    first = etc / ("conf.d/main/00_earmark" if request.param == "true" else "exim4.conf.localmacros")
    macros = MACROS.format(directory=etc, policy=lab.policy_door, content=lab.content_door)
    first.write_text(macros + first.read_text())
    (etc / "update").write_text(tool.replace("/etc/exim4", str(etc)).replace("/etc/mailname", f"{etc}/mailname"))
    made = subprocess.run(["sh", etc / "update", "-o", etc / "exim.conf"], capture_output=True, text=True, check=True)
    assert not made.stderr

    def session(client: str, *lines: str) -> list[str]:
        told = subprocess.run(
            [BINARY, "-C", etc / "exim.conf", "-bh", client],
            input="".join(f"{line}\r\n" for line in lines), capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return [line for line in told.stdout.splitlines() if re.match(r"\d{3} ", line)]

    yield session
    shutil.rmtree(etc)


def test_a_listed_client_is_refused_behind_debians_own_checks(lab: Lab, play: Play) -> None:
    replies = play(LISTED, "EHLO mail.sender.test", "MAIL FROM:<someone@sender.test>", "RCPT TO:<root@elsewhere.test>",
                   "RCPT TO:<root@lab.test>", "QUIT")  # fmt: skip
    assert replies[3] == "550 relay not permitted"
    assert replies[4].startswith("550 5.7.1 "), replies
    wait_until(lambda: [event["action"] for event in lab.verdicts()] == ["reject"], "the verdict is told")


def test_a_virus_is_refused_after_data_behind_debians_own_checks(play: Play) -> None:
    text = mail(EICAR).decode()
    replies = play(CLEAN, "EHLO mail.sender.test", "MAIL FROM:<someone@sender.test>", "RCPT TO:<root@refuses.test>",
                   "DATA", *text.splitlines(), ".", "QUIT")  # fmt: skip
    assert replies[-2].startswith("550 5.7.1 Refused: ClamAV found"), replies
