"""The old machine: a Debian 12 that ran under Xen, with what such machines have, and this checkout as its filter."""

from cluster_lab.machines.host import Host
from cluster_lab.machines.payload import PYTHONPATH
from cluster_lab.machines.qemu import EMULATED

ADDRESS = "192.0.2.25"
MILTER = 8890
PASSWORD = "only for this test"  # noqa: S105 - of a machine that lives for minutes
OLD_MAC = "00:16:3e:11:22:33"

_FSTAB = """\
/dev/xvda1 / ext3 noatime,errors=remount-ro 0 1
/dev/xvda2 none swap sw 0 0
proc /proc proc defaults 0 0
"""
_INITTAB = """\
id:2:initdefault:
si::sysinit:/etc/init.d/rcS
hvc0:2345:respawn:/sbin/getty 38400 hvc0
"""
_RULES = f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{OLD_MAC}", NAME="eth0"\n'
_INTERFACES = f"""\
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address {ADDRESS}/24
    gateway 192.0.2.1
"""
_EARMARK = f"""\
#!/bin/sh
PYTHONPATH={PYTHONPATH.format(top="/opt/earmark")} exec python3 -m earmark "$@"
"""
_MAIN = """\
compatibility_level = 3.6
myhostname = mail.example.org
mydestination = mail.example.org
mynetworks = 127.0.0.0/8
inet_protocols = ipv4
maillog_file = /var/log/mail.log
smtpd_peername_lookup = no
"""
_PATIENCE = """\
[Service]
TimeoutStartSec=900
WatchdogSec=900
"""
_PATIENT_MANAGER = """\
[Manager]
DefaultTimeoutStartSec=900
DefaultDeviceTimeoutSec=900
"""
PATIENT = {
    "etc/systemd/system/earmark.service.d/lab.conf": _PATIENCE,
    "etc/systemd/system.conf.d/lab.conf": _PATIENT_MANAGER,
}
"""Files of a guest whose processor is emulated: a start takes twenty times as long."""
_FILES = {
    **PATIENT,
    "etc/default/grub": f'GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX_DEFAULT="quiet {EMULATED}"\n',
    "etc/fstab": _FSTAB,
    "etc/inittab": _INITTAB,
    "etc/hostname": "mail\n",
    "etc/hosts": f"127.0.0.1 localhost\n{ADDRESS} mail.example.org mail\n",
    "etc/resolv.conf": "nameserver 127.0.0.1\n",
    "etc/udev/rules.d/70-persistent-net.rules": _RULES,
    "etc/network/interfaces": _INTERFACES,
    "var/log/mail.log": "Nov 22 10:00:00 mail postfix/qmgr[1]: 4A1B2C: removed\n",
}
# An account that is nowhere else, a name with two links, attributes and a capability: what a copy loses first.
_ODD = """\
mkdir -p srv/mail home/u
echo mail >srv/mail/message
ln srv/mail/message home/u/other-name
chown 4711:4712 srv/mail/message
setfattr -n user.origin -v xen srv/mail/message
setfacl -m u:4713:r home/u
printf 'sparse' | dd of=srv/mail/sparse bs=1 seek=20M status=none
touch -d '2009-02-13 23:31:30 UTC' srv/mail/old
mkdir -p etc/systemd/system/getty.target.wants
ln -s /lib/systemd/system/serial-getty@.service etc/systemd/system/getty.target.wants/serial-getty@hvc0.service
sed -i 's/^MODULES=.*/MODULES=dep/' etc/initramfs-tools/initramfs.conf
sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 600/' etc/login.defs
echo COMPRESSLEVEL=1 >>etc/initramfs-tools/initramfs.conf
"""
_FILTER = """\
cp -a /payload opt/earmark
chroot . useradd --system --user-group --no-create-home earmark
mkdir -p etc/earmark
cp -a /payload/policies /payload/rules etc/earmark/
sed -i 's/^# listen = \\["inet:127.0.0.1:8890"\\]/listen = ["inet:0.0.0.0:8890"]/' etc/earmark/policies/server.toml
cp /payload/deploy/systemd/earmark.service etc/systemd/system/
chroot . systemctl enable --quiet earmark.service postfix.service
cat /payload/deploy/postfix/main.cf.earmark >>etc/postfix/main.cf
"""


def furnish(host: Host, top: str) -> None:
    """Make the machine that will be migrated of its image's tree. That is mounted on a host, and /payload is too."""
    for path, text in _FILES.items():
        host.write(f"{top}/{path}", text)
    host.write(f"{top}/etc/postfix/main.cf", _MAIN)
    host.write(f"{top}/usr/bin/earmark", _EARMARK, 0o755)
    for script in (_ODD, _FILTER):
        host.run("sh", "-ec", f"cd {top}\n{script}")
    host.run("chroot", top, "chpasswd", given=f"root:{PASSWORD}\n")
