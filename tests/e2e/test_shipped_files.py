"""The files of deploy/ say what the servers understand."""

import subprocess
from pathlib import Path

import pytest

from e2e_lab.lab import Lab

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_postfix_knows_every_setting_of_the_milter_lines(lab: Lab) -> None:
    told = subprocess.run(
        ["postconf", "-n", "-c", lab.postfix.configuration], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert "default_action=tempfail" in told.stdout


@pytest.mark.usefixtures("lab")
def test_unbound_takes_the_resolver_lines() -> None:
    subprocess.run(["unbound-checkconf", DEPLOY / "unbound" / "earmark.conf"], capture_output=True, check=True)
