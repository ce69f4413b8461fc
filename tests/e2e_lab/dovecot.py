"""Dovecot with LMTP, IMAP and Sieve, running the files of deploy/dovecot as they stand."""

import os
import shutil
from pathlib import Path

from e2e_lab.processes import Process, accepts, free_port, told_by, wait_until

SHIPPED = Path(__file__).parents[2] / "deploy" / "dovecot"
IMAP = Path("/usr/lib/dovecot/imap")
"""The program of the package dovecot-imapd."""
TRASH = "Papierkorb"
"""The mailbox that is the trash by its use, not by its name."""

CONFIGURATION = """
base_dir = {top}/run
state_dir = {top}/state
protocols = lmtp imap
listen = 127.0.0.1
log_path = {top}/log
ssl = no
disable_plaintext_auth = no
mail_fsync = never
first_valid_uid = 100
first_valid_gid = 100
mail_location = maildir:{store}/%d/%n
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    special_use = \\Junk
    auto = create
  }}
  mailbox {trash} {{
    special_use = \\Trash
    auto = create
  }}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={store}/%d/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@lab.test
}}
"""


class Dovecot:
    """One running instance; `store` holds DOMAIN/USER/new and DOMAIN/USER/.Junk/new.

    Any password opens an IMAP account. What users teach goes to the program `earmark`, which a test may write.
    """

    def __init__(self, top: Path, store: Path) -> None:
        self.port, self.imap = free_port(), free_port()
        self.socket = top / "run" / "lmtp"
        """Where it speaks LMTP as well."""
        self.log = top / "log"
        self.earmark = top / "earmark"
        self._configuration = top / "dovecot.conf"
        for part in ("run", "state", "sieve/pipe"):
            (top / part).mkdir(parents=True)
        configuration = CONFIGURATION.format(top=top, store=store, lmtp=self.port, imap=self.imap, trash=TRASH)
        plugin = (SHIPPED / "90-earmark.conf").read_text().replace("/etc/dovecot/sieve", str(top / "sieve"))
        self._configuration.write_text(configuration + plugin)
        self._install(top / "sieve")
        store.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(store, "nobody", "nogroup")
        self._process = Process(["dovecot", "-F", "-c", self._configuration], top / "out")

    def _install(self, scripts: Path) -> None:
        for script in SHIPPED.glob("*.sieve"):
            told_by("sievec", "-c", self._configuration, shutil.copy(script, scripts))
        pipe = scripts / "pipe" / "earmark-learn"
        pipe.write_text((SHIPPED / "earmark-learn").read_text().replace("/usr/bin/earmark", str(self.earmark)))
        pipe.chmod(0o755)

    def wait_ready(self) -> None:
        wait_until(lambda: accepts(self.port) and accepts(self.imap), "Dovecot accepts LMTP and IMAP")

    def stop(self) -> None:
        self._process.stop()
