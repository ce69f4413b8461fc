"""Seeded defects of rendered files. Each row: the file, what is replaced by what, and the code that is found in it."""

import pytest

from earmark.cluster.files import File
from earmark.cluster.lint import lint
from earmark.cluster.render import render
from fakes.cluster_defects import GROUP, NINE, NO_ARBITRATOR, Change, changed, edited, example, line_of

COROSYNC = "hosta/etc/corosync/corosync.conf"
DRBD = "hosta/etc/drbd.d/earmark.res"
CIB = "cluster/cib.xml"
DOMAIN = "hosta/etc/pacemaker/mail.xml"
LVM = "hosta/etc/lvm/lvmlocal.conf"
BRIDGE = "hosta/etc/systemd/network/10-br0.netdev"
BRIDGE_ADDRESS = "hosta/etc/systemd/network/10-br0.network"
FIREWALL = "hosta/etc/nftables.conf"
PRESET = "hosta/etc/systemd/system-preset/10-cluster.preset"

OF_COROSYNC = [
    ("an unknown key", "token: 3000", "tokn: 3000", "corosync-key-unknown"),
    ("an unknown section", "logging {", "loging {", "corosync-section-unknown"),
    ("a brace that is missing", "link_mode: passive\n\tinterface {", "link_mode: passive\n\tinterface",
     "corosync-syntax"),
    ("one address twice", "ring1_addr: 192.0.2.11", "ring1_addr: 10.77.0.1", "address-twice"),
    ("a single link", "\t\tring1_addr: 192.0.2.11\n", "", "single-link"),
    ("another address than the inventory's", "192.0.2.11", "192.0.2.19", "corosync-node-address"),
    ("a host that nobody knows", "name: hostb", "name: host-b", "corosync-node-unknown"),
    ("a host that is left out", "name: hostb", "name: host-b", "corosync-node-missing"),
    ("two_node beside an arbitrator", "corosync_votequorum\n", "corosync_votequorum\n\ttwo_node: 1\n",
     "two-node-with-arbitrator"),
    ("an algorithm that is none", "ffsplit\n", "fsplit\n", "qdevice-algorithm"),
    ("a model that is none", "model: net", "model: nett", "qdevice-model"),
    ("an arbitrator with two votes", "votes: 1", "votes: 2", "qdevice-votes"),
    ("an arbitrator without TLS", "tls: required", "tls: off", "qdevice-plain"),
    ("another arbitrator", "host: 192.0.2.13", "host: 192.0.2.14", "qdevice-host"),
    ("an arbitrator that nobody asks", "\tdevice {", "\tdevise {", "qdevice-missing"),
    ("a quorum provider that is none", "corosync_votequorum", "corosync_votequorm", "quorum-provider"),
    ("no encryption", "crypto_cipher: aes256", "crypto_cipher: none", "corosync-plain"),
    ("the key in the file", "transport: knet", "transport: knet\n\tkey: c2VjcmV0", "secret-inline"),
    ("a token for idle hosts only", "token: 3000", "token: 800", "token-short"),
    ("a link given up after its host", "linknumber: 1", "linknumber: 1\n\t\tknet_ping_timeout: 3000",
     "token-below-link"),
    ("hosts that differ", "timestamp: hires", "timestamp: on", "corosync-differs"),
]  # fmt: skip
OF_DRBD = [
    ("a last brace that is missing", "7788;\n\t}\n}\n", "7788;\n\t}\n", "drbd-syntax"),
    ("a semicolon that is missing", "protocol C;", "protocol C", "drbd-syntax"),
    ("a quotation mark that is open", 'crm-fence-peer.sh";', "crm-fence-peer.sh;", "drbd-syntax"),
    ("an answer to a failed disk that is none", "on-io-error detach", "on-io-error detatch", "drbd-io-error"),
    ("activity log out of range", "al-extents 1237", "al-extents 13", "drbd-al-extents"),
    ("a handler that does not exist", "crm-fence-peer.sh", "crm-fence-pear.sh", "drbd-handler-path"),
    ("a handler of the other dialect", "crm-fence-peer.sh", "crm-fence-peer.9.sh", "drbd-dialect"),
    ("a handler's name of the other dialect", "out-of-sync ", "quorum-lost ", "drbd-dialect"),
    ("nobody unfences", "after-resync-target", "unfence-peer", "drbd-unfencing-missing"),
    ("a handler's name that is none", "split-brain ", "split-brian ", "drbd-handler-unknown"),
    ("fencing where 9 has it", "net {", "net {\n\t\tfencing resource-and-stonith;", "drbd-dialect"),
    ("options that 8.4 has not", "net {", "options { auto-promote no; }\n\tnet {", "drbd-dialect"),
    ("a node-id for 8.4", "on hosta {", "on hosta {\n\t\tnode-id 0;", "drbd-dialect"),
    ("fencing without stonith", "resource-and-stonith", "resource-only", "drbd-fencing-off"),
    ("no fence-peer", "fence-peer ", "pri-lost ", "drbd-fencing-off"),
    ("replication that does not wait", "protocol C", "protocol A", "drbd-protocol"),
    ("two primaries", "protocol C;", "protocol C;\n\t\tallow-two-primaries yes;", "drbd-two-primaries"),
    ("a split brain that discards", "after-sb-1pri disconnect", "after-sb-1pri discard-secondary", "drbd-discards"),
    ("the secret in the file", "protocol C;", 'protocol C;\n\t\tshared-secret "abc";', "secret-inline"),
    ("no authentication", "cram-hmac-alg sha256;", "", "drbd-plain"),
    ("a time-out as long as its pings", "timeout 15;", "timeout 20;", "drbd-timeout-long"),
    ("DRBD slower than the cluster", "ping-int 2;", "ping-int 10;", "drbd-detection-slow"),
    ("replication over the service network", "10.77.0.2:7788", "192.0.2.12:7788", "drbd-address"),
    ("a host that is none", "on hostb", "on host-b", "drbd-host-unknown"),
    ("a host that is left out", "on hostb", "on host-b", "drbd-host-missing"),
    ("hosts that differ", "max-buffers 8000", "max-buffers 4000", "drbd-differs"),
]  # fmt: skip
OF_DRBD_9 = [
    ("fencing where 8.4 has it", "disk {", "disk {\n\t\tfencing resource-and-stonith;", "drbd-dialect"),
    ("no node-id", "\t\tnode-id 1;\n", "", "drbd-dialect"),
    ("promotion by whoever opens", "auto-promote no", "auto-promote yes", "drbd-auto-promote"),
    ("a handler of the other dialect", "crm-fence-peer.9.sh", "crm-fence-peer.sh", "drbd-dialect"),
    ("no fencing", "fencing resource-and-stonith;", "", "drbd-fencing-off"),
]
OF_CIB = [
    ("XML that is none", "</crm_config>", "", "cib-syntax"),
    ("no schema", 'validate-with="pacemaker-3.9"', 'validate-with="none"', "cib-unvalidated"),
    ("another host", 'uname="hostb"', 'uname="hostc"', "cib-node-unknown"),
    ("a host that is left out", 'uname="hostb"', 'uname="hostc"', "cib-node-missing"),
    ("nothing to keep running", 'type="VirtualDomain"', 'type="Dummy"', "service-missing"),
    ("fencing off", 'name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"', "stonith-off"),
    ("fencing not spoken of", 'name="stonith-enabled"', 'name="stonith-enable"', "stonith-off"),
    ("an unknown property", 'name="concurrent-fencing"', 'name="concurent-fencing"', "cluster-property-unknown"),
    ("quorum ignored", 'name="no-quorum-policy" value="stop"', 'name="no-quorum-policy" value="ignore"',
     "no-quorum-ignored"),
    ("a failed start bars the host", 'is-fatal" value="false"', 'is-fatal" value="true"', "start-failure-fatal"),
    ("fencing that gives up", 'name="stonith-max-attempts" value="100"', 'name="stonith-max-attempts" value="10"',
     "fencing-gives-up"),
    ("a recheck after a quarter of an hour", 'interval" value="60s"', 'interval" value="15min"', "recheck-long"),
    ("maintenance left on", 'name="concurrent-fencing"', 'name="maintenance-mode"', "cluster-suspended"),
    ("an interval that is none", 'interval="15s"', 'interval="15x"', "interval-bad"),
    ("an agent that is none", 'type="VirtualDomain"', 'type="VirtualDomian"', "agent-unknown"),
    ("a parameter that is none", 'name="host_list"', 'name="hostlist"', "agent-parameter-unknown"),
    ("a parameter that is missing", 'name="drbd_resource"', 'name="drbdconf"', "agent-parameter-missing"),
    ("a meta attribute that is none", 'name="failure-timeout"', 'name="failure-timout"', "meta-attribute-unknown"),
    ("failures never forgotten", 'name="failure-timeout"', 'name="failure-timout"', "failure-timeout-missing"),
    ("restarts for ever", 'name="migration-threshold" value="3"', 'name="migration-threshold" value="INFINITY"',
     "migration-threshold-missing"),
    ("no stickiness", 'stickiness" value="200"', 'stickiness" value="0"', "stickiness-missing"),
    ("a preference above the stickiness", 'node="hosta" score="50"', 'node="hosta" score="500"', "fails-back"),
    ("live migration", 'name="allow-migrate" value="false"', 'name="allow-migrate" value="true"', "migration-allowed"),
    ("a start shorter than twice the boot", 'name="start" interval="0s" timeout="120s"',
     'name="start" interval="0s" timeout="60s"', "start-timeout-short"),
    ("a stop no longer than the shutdown", 'name="stop" interval="0s" timeout="180s"',
     'name="stop" interval="0s" timeout="60s"', "stop-timeout-short"),
    ("nobody looks at the guest", 'name="monitor" interval="15s"', 'name="status" interval="15s"', "monitor-missing"),
    ("two monitors with one interval", 'interval="31s"', 'interval="29s"', "monitor-same-interval"),
    ("a clone without notifications", 'name="notify" value="true"', 'name="notify" value="false"', "drbd-clone"),
    ("two promoted", 'name="promoted-max" value="1"', 'name="promoted-max" value="2"', "drbd-clone"),
    ("another DRBD resource", 'name="drbd_resource" value="earmark"', 'name="drbd_resource" value="mail"',
     "drbd-resource-unknown"),
    ("a guest that is defined elsewhere", "/etc/pacemaker/mail.xml", "/etc/libvirt/qemu/mail.xml",
     "guest-file-missing"),
    ("a guest without a probe", 'name="monitor_scripts"', 'name="snapshot"', "guest-unprobed"),
    ("other ping targets", "192.0.2.1 192.0.2.53", "192.0.2.1", "ping-differs"),
    ("a password", 'name="password_script" value="', 'name="password" value="', "secret-inline"),
    ("points for the promoted role", 'role="Promoted" score="-5000"', 'role="Promoted" score="100"',
     "promoted-score-positive"),
    ("an attribute's points for the promoted role", 'role="Promoted" score="-5000"',
     'role="Promoted" score-attribute="pingd"', "promoted-score-positive"),
    ("a ping rule of minus infinity", 'score="-5000"', 'score="-INFINITY"', "ping-rule-infinite"),
    ("a guest beside its disk", 'with-rsc-role="Promoted"', 'with-rsc-role="Started"', "colocation-missing"),
    ("a guest before its disk", 'first-action="promote"', 'first-action="start"', "order-missing"),
    ("one fencing level", 'target="hosta" index="2"', 'target="hosta" index="1"', "fencing-one-level"),
    ("a device that there is not", 'devices="fence-hosta-1"', 'devices="fence-hosta-9"', "fencing-device-unknown"),
    ("the other host's device", 'devices="fence-hosta-1"', 'devices="fence-hostb-1"', "fencing-wrong-host"),
    ("a device for nobody", 'target="hosta" index="2"', 'target="hostc" index="2"', "fencing-device-unused"),
    ("a device on its own target", 'rsc="fence-hosta-1" node="hosta"', 'rsc="fence-hosta-1" node="hostb"',
     "fencing-on-target"),
]  # fmt: skip
OF_GUEST = [
    ("another guest", "<name>mail</name>", "<name>mial</name>", "domain-name"),
    ("an emulated processor", 'type="kvm"', 'type="qemu"', "domain-emulated"),
    ("more memory than there is room for", ">4096<", ">16384<", "domain-memory"),
    ("a disk on one host", "/dev/drbd0", "/dev/vg_host/mail", "domain-disk"),
    ("writes held in the host's memory", 'cache="none" io="native"/>', 'cache="writeback"/>', "domain-cache"),
    ("another MAC address", "52:54:00:c0:02:25", "52:54:00:c0:02:26", "domain-mac"),
    ("another bridge", 'bridge="br0"', 'bridge="virbr0"', "domain-bridge"),
    ("a guest that cannot be shut down", "<acpi/>", "", "domain-acpi"),
    ("XML that is none", "</devices>", "", "domain-syntax"),
    ("hosts that differ", 'append="on"', 'append="off"', "domain-differs"),
]
OF_HOSTS = [
    ("a filter that lets in the guest's disk", LVM, '"a|^/dev/md1$|"', '"a|^/dev/md1$|", "a|^/dev/drbd|"',
     "lvm-filter-open"),
    ("a filter without an end", LVM, ', "r|.*|"', "", "lvm-filter-open"),
    ("no filter", LVM, "global_filter =", "#global_filter =", "lvm-filter-open"),
    ("a filter that shuts out the host's own", LVM, '"a|^/dev/md1$|", ', "", "lvm-filter-closed"),
    ("a mirror that nobody names", "hosta/etc/mdadm/mdadm.conf.d/cluster.conf", "ARRAY ", "#ARRAY ", "raid-unknown"),
    ("a bridge without an address of its own", BRIDGE, "MACAddress=", "#MACAddress=", "bridge-without-mac"),
    ("a bridge with another address", BRIDGE, "MACAddress=02:00:c0:00:02:11", "MACAddress=02:00:c0:00:02:12",
     "bridge-mac-differs"),
    ("a host without its address", BRIDGE_ADDRESS, "Address=192.0.2.11/24", "Address=192.0.2.19/24", "address-not-set"),
    ("a firewall that lets all in", FIREWALL, "hook input priority filter; policy drop",
     "hook input priority filter; policy accept", "firewall-open"),
    ("a firewall that shuts out corosync", FIREWALL, "udp dport 5406 accept", "udp dport 5407 accept",
     "firewall-closed"),
    ("a firewall that shuts out the hosts from the arbitrator", "arbiter/etc/nftables.conf", "5403", "5404",
     "firewall-closed"),
    ("a mail server on a host", PRESET, "enable pacemaker.service", "enable pacemaker.service\nenable postfix.service",
     "service-beyond-list"),
    ("DRBD started at boot", PRESET, "disable drbd.service", "enable drbd.service", "service-of-cluster"),
    ("DRBD not disabled", PRESET, "disable drbd.service", "", "service-of-cluster"),
    ("a private key", "hosta/etc/dma/dma.conf", "PORT 25", "PORT 25\n-----BEGIN PRIVATE KEY-----", "secret-inline"),
    ("a password", "hosta/etc/dma/dma.conf", "PORT 25", "PORT 25\npassword = abc", "secret-inline"),
]  # fmt: skip


def rows(name: str, defects: list[tuple[str, str, str, str]], *changes: Change) -> list[object]:
    return [
        pytest.param(name, old, new, code, changes, id=f"{name.rpartition('/')[2]}, {about}")
        for about, old, new, code in defects
    ]


DEFECTS = [
    *rows(COROSYNC, OF_COROSYNC),
    *rows(DRBD, OF_DRBD),
    *rows(DRBD, OF_DRBD_9, NINE),
    *rows(CIB, OF_CIB),
    *rows(DOMAIN, OF_GUEST),
    *[pytest.param(name, old, new, code, (), id=about) for about, name, old, new, code in OF_HOSTS],
]
ELSEWHERE = {"corosync-differs", "drbd-differs", "domain-differs", "address-not-set"}
"""Codes whose place is the other host's file, or a directory."""


@pytest.mark.parametrize(("name", "old", "new", "code", "changes"), DEFECTS)
def test_each_defect_is_found_by_name_in_its_file(
    name: str, old: str, new: str, code: str, changes: tuple[Change, ...]
) -> None:
    found, files = edited(name, old, new, *changes)
    named = [finding for finding in found if finding.code == code]
    assert named, [str(finding) for finding in found]
    if code not in ELSEWHERE:
        assert all(finding.where.partition(":")[0] == name for finding in named)
        assert all(line_of(finding, files[name].text) for finding in named if ":" in finding.where)


def test_a_finding_names_the_line_of_what_is_wrong() -> None:
    found, files = edited(CIB, 'name="host_list"', 'name="hostlist"')
    (unknown,) = [finding for finding in found if finding.code == "agent-parameter-unknown"]
    assert 'name="hostlist"' in line_of(unknown, files[CIB].text)
    assert 'did you mean "host_list"?' in unknown.reason


def test_without_an_arbitrator_two_node_must_be_there() -> None:
    found, _ = edited(COROSYNC, "two_node: 1", "two_node: 0", *NO_ARBITRATOR)
    assert "quorum-of-one-missing" in {finding.code for finding in found}


@pytest.mark.parametrize("name", [COROSYNC, DRBD, CIB, DOMAIN, LVM, BRIDGE, FIREWALL])
def test_a_file_that_is_not_there_is_found(name: str) -> None:
    inventory, document = example()
    files = render(inventory)
    del files[name]
    found = lint(inventory, document, files)
    assert any(
        finding.refuses and name.startswith(finding.where.rstrip("/").removesuffix("/earmark.res")) for finding in found
    )


def test_a_unit_of_the_group_that_starts_at_boot_is_found() -> None:
    found, _ = edited(PRESET, "disable earmark.service", "", GROUP)
    assert "service-of-cluster" in {finding.code for finding in found}


def test_a_guest_that_libvirt_starts_by_itself_is_found() -> None:
    inventory, document = example()
    files = render(inventory)
    files["hosta/etc/libvirt/qemu/autostart/mail.xml"] = files[DOMAIN]
    assert "domain-autostart" in {finding.code for finding in lint(inventory, document, files)}


@pytest.mark.parametrize(("mode", "code"), [(0o644, "file-not-executable"), (0o777, "file-writable")])
def test_a_mode_that_does_not_fit_is_found(mode: int, code: str) -> None:
    inventory, document = example()
    files = render(inventory)
    name = "hosta/usr/local/sbin/earmark-guest-probe"
    files[name] = files[name]._replace(mode=mode)
    assert [finding.code for finding in lint(inventory, document, files)] == [code]


def test_xml_with_a_document_type_is_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cccc"><!ENTITY d "&b;&b;">]><cib>&d;</cib>'
    inventory, document = example()
    files = {**render(inventory), CIB: File(bomb)}
    assert "cib-syntax" in {finding.code for finding in lint(inventory, document, files)}


@pytest.mark.parametrize("name", [CIB, DOMAIN, DRBD, COROSYNC])
def test_what_is_nested_a_thousand_times_is_refused(name: str) -> None:
    deep = "<a>" * 1000 + "</a>" * 1000 if name.endswith(".xml") else "a {\n" * 1000 + "}\n" * 1000
    inventory, document = example()
    text = f"<!-- <domain -->{deep}" if name == DOMAIN else deep
    files = {**render(inventory), name: File(text)}
    assert any("nested" in finding.reason for finding in lint(inventory, document, files))


def test_a_reason_carries_nothing_that_a_terminal_obeys() -> None:
    found, _ = edited(DRBD, "on hostb", "on \x1b[2Jhostb")
    assert "drbd-host-unknown" in {finding.code for finding in found}
    assert all(str(finding).isprintable() for finding in found)


def test_comments_are_no_settings() -> None:
    inventory, document = example()
    files = render(inventory)
    for name in (COROSYNC, "hostb/etc/corosync/corosync.conf", DRBD, "hostb/etc/drbd.d/earmark.res"):
        text = files[name].text
        files[name] = File(f'# tokn: 5 {{ two_node: 1; shared-secret "x"\n{text}')
    assert lint(inventory, document, files) == []


def test_an_edit_that_is_none_finds_nothing() -> None:
    inventory, document = example()
    files = changed(render(inventory), CIB, Change("<resources>", "<resources><!-- by hand -->"))
    assert lint(inventory, document, files) == []
