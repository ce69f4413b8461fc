"""The files of deploy/ say what the servers understand, and what they do."""

from pathlib import Path

import pytest

from e2e_lab import smtp
from e2e_lab.lab import Lab
from e2e_lab.processes import told_by
from e2e_lab.smtp import CLEAN, SENDER

DEPLOY = Path(__file__).parents[2] / "deploy"
FORGED = b"X-Spam-Flag: YES\nSubject: forged\n\nforged\n"


def test_postfix_knows_every_setting_of_the_milter_lines(lab: Lab) -> None:
    told = told_by("postconf", "-n", "-c", lab.postfix.configuration)
    assert told.stderr == ""
    assert "default_action=tempfail" in told.stdout


@pytest.mark.usefixtures("lab")
def test_unbound_takes_the_resolver_lines() -> None:
    told_by("unbound-checkconf", DEPLOY / "unbound" / "earmark.conf")


def test_the_unit_has_room_for_a_thousand_sessions_that_wait_in_each_of_two_generations() -> None:
    """With libmilter each takes a thread (docs/libmilter.md)."""
    unit = (DEPLOY / "systemd" / "earmark.service").read_text()
    (limit,) = (int(line.partition("=")[2]) for line in unit.splitlines() if line.startswith("TasksMax="))
    assert limit >= 2 * 1000 + 500


@pytest.mark.parametrize(
    ("forged", "folder"), [(FORGED, "INBOX"), (b"X-Earmark: v=1; id=0123456789AB\n" + FORGED, "Junk")]
)
def test_default_action_accept_costs_what_the_milter_lines_say(lab: Lab, forged: bytes, folder: str) -> None:
    assert smtp.send(lab.postfix.accepting, CLEAN, SENDER, ["bob@lab.test"], forged).queue_id
    copy = lab.delivery("bob@lab.test")
    assert copy.message == forged
    assert copy.folder == folder


def test_default_action_quarantine_holds_the_mail_as_the_milter_lines_say(lab: Lab) -> None:
    sent = smtp.send(lab.postfix.quarantining, CLEAN, SENDER, ["bob@lab.test"], FORGED)
    assert [file.name for file in lab.postfix.held()] == [sent.queue_id]
    assert not lab.deliveries()
    lab.postfix.discard_held()
