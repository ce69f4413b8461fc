"""The peers that hand content to scanners: Debian's spamass-milter, and amavisd-new behind amavisd-milter."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import pinned
from bench.scanners import CHILDREN, SCANNER_CORE
from bench.servers import Server, private_directory, served
from e2e_lab.processes import Process, wait_until
from e2e_lab.spamd import PACKAGED, SHIPPED, SITE, Spamd

_DEBIAN = Path("/etc/amavis/conf.d")
_AS_SHIPPED = ("01-debian", "20-debian_defaults")
"""Debian's settings that are kept; the others turn scanning off, or name users, sockets and scanners."""
_AMAVIS = """\
use strict;
$MYHOME = '{top}/home'; $TEMPBASE = '{top}/work'; $QUARANTINEDIR = undef;
$enable_db = 0; $enable_global_cache = 0;
$pid_file = '{top}/pid'; $lock_file = '{top}/lock';
$myhostname = 'mx.example.org'; $mydomain = 'example.org'; @local_domains_maps = (1);
$DO_SYSLOG = 0; $LOGFILE = '{top}/log'; $log_level = 0;
$max_servers = {children}; $max_requests = 0;
$inet_socket_port = undef; $unix_socketname = '{top}/amavisd.sock';
$interface_policy{{'SOCK'}} = 'AM.PDP-SOCK'; $policy_bank{{'AM.PDP-SOCK'}} = {{ protocol => 'AM.PDP' }};
@bypass_virus_checks_maps = (0); @bypass_spam_checks_maps = (0);
$sa_local_tests_only = 1; $sa_configpath = '{rules}'; $sa_siteconfigpath = '{top}/site';
$sa_tag_level_deflt = -999; $sa_mail_body_size_limit = 500*1000;
@av_scanners = (['ClamAV-clamd', \\&ask_daemon, ["CONTSCAN {{}}\\n", '{clamd}'],
  qr/\\bOK$/m, qr/\\bFOUND$/m, qr/^.*?: (?!Infected Archive)(.*) FOUND$/m ]);
@av_scanners_backup = ();
1;
"""


@contextmanager
def spamass_milter(spamd: Spamd) -> Iterator[Server]:
    """spamass-milter with its defaults, its spamc told where spamd is."""
    with private_directory() as top:
        _give_away(top)
        socket = top / "socket"
        command: list[str | Path] = [*_unprivileged(), "spamass-milter", "-p", socket, "--", "-U", spamd.path]
        with served("spamass-milter", command, socket, top / "log") as server:
            yield server


@contextmanager
def amavis(clamd: Path) -> Iterator[Server]:
    """amavisd with SpamAssassin in its own processes, on the scanners' core, and amavisd-milter on the filter's."""
    with private_directory() as top:
        configuration = _write(top, clamd)
        files = [word for file in (*(_DEBIAN / name for name in _AS_SHIPPED), configuration) for word in ("-c", file)]
        allowed = ["-X", "no_conf_file_writable_check"]  # the account that tests may own them
        command = [*_unprivileged(), "amavisd", *allowed, *files, "foreground"]
        daemon = Process(pinned(SCANNER_CORE, *command), top / "output", {"HOME": str(top / "home")})
        try:
            inner, socket = top / "amavisd.sock", top / "socket"
            wait_until(inner.is_socket, f"amavisd listens; see {top / 'output'}", 60)
            options: list[str | Path] = ["-f", "-p", top / "milter.pid", "-w", top / "work", "-s", socket, "-S", inner]
            milter: list[str | Path] = [*_unprivileged(), "amavisd-milter", *options, "-m", str(CHILDREN)]
            with served("amavisd-milter", milter, socket, top / "milter.log") as server:
                yield server
        finally:
            daemon.stop()


def _write(top: Path, clamd: Path) -> Path:
    for name in ("home", "work", "site"):
        (top / name).mkdir(mode=0o700)
        _give_away(top / name)
    _give_away(top)
    for file in (*SITE.glob("*.pre"), *SHIPPED.glob("*.cf")):
        shutil.copy(file, top / "site")
    (top / "site" / "local.cf").write_text("use_bayes 0\ndns_available no\n")
    (top / "site").chmod(0o755)
    configuration = top / "amavisd.conf"
    configuration.write_text(_AMAVIS.format(top=top, children=CHILDREN, rules=PACKAGED, clamd=clamd))
    return configuration


def _unprivileged() -> list[str]:
    """Return what starts a program as another than root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []


def _give_away(top: Path) -> None:
    """Let a program that was started so write in this directory."""
    if os.geteuid() == 0:
        shutil.chown(top, "nobody", "nogroup")
