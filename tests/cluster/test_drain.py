"""The rendered earmark-drain with a real nft, in namespaces of its own."""

import pytest

from earmark.cluster import namespaces
from earmark.cluster.render import render
from fakes.cluster_defects import GROUP, example

pytestmark = pytest.mark.skipif(bool(namespaces.impossible()), reason=namespaces.impossible())
HOSTS = "ip saddr { 192.0.2.11, 192.0.2.12 } accept"
NAME = "usr/local/sbin/earmark-drain"


def drained(machine: str, *, group: bool) -> str:
    file = render(example(*[GROUP] * group)[0])[f"{machine}/{NAME}"]
    there = namespaces.Host(machine, (), {NAME: (file.text, file.mode)})
    script = f"/{NAME} 0; /{NAME} 0; nft list table inet drain; /{NAME} end; /{NAME} end; nft list tables"
    done = namespaces.run(there, ["sh", "-ec", script], 20.0)
    assert done.status == 0, done.text
    return done.text


def test_a_guest_resets_new_mail_but_answers_the_hosts_probe_until_the_drain_ends() -> None:
    lines = [line.strip() for line in drained("guest", group=False).splitlines()]
    closed = "tcp dport { 25, 465, 587 } ct state new reject with tcp reset"
    assert lines.index(HOSTS) < lines.index(closed), "the first rule that fits holds"
    assert lines[-1] == "}", "no table is left"


def test_a_group_drains_on_both_hosts_and_is_not_probed() -> None:
    for host in ("hosta", "hostb"):
        text = drained(host, group=True)
        assert "reject with tcp reset" in text
        assert "saddr" not in text
