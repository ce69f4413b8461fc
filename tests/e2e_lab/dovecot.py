"""Dovecot with LMTP and Sieve, running the two files of deploy/dovecot as they stand."""

import os
import shutil
from pathlib import Path

from e2e_lab.processes import Process, accepts, free_port, told_by, wait_until

SHIPPED = Path(__file__).parents[2] / "deploy" / "dovecot"

CONFIGURATION = """
base_dir = {top}/run
state_dir = {top}/state
protocols = lmtp
listen = 127.0.0.1
log_path = {top}/log
ssl = no
mail_fsync = never
first_valid_uid = 100
first_valid_gid = 100
mail_location = maildir:{store}/%d/%n
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
    port = {port}
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
    """One running instance; `store` holds DOMAIN/USER/new and DOMAIN/USER/.Junk/new."""

    def __init__(self, top: Path, store: Path) -> None:
        self.port = free_port()
        self.log = top / "log"
        for part in ("run", "state", "sieve"):
            (top / part).mkdir(parents=True)
        script = shutil.copy(SHIPPED / "earmark.sieve", top / "sieve")
        told_by("sievec", script)
        plugin = (SHIPPED / "90-earmark.conf").read_text().replace("/etc/dovecot/sieve", str(top / "sieve"))
        (top / "dovecot.conf").write_text(CONFIGURATION.format(top=top, store=store, port=self.port) + plugin)
        store.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(store, "nobody", "nogroup")
        self._process = Process(["dovecot", "-F", "-c", top / "dovecot.conf"], top / "out")

    def wait_ready(self) -> None:
        wait_until(lambda: accepts(self.port), "Dovecot accepts LMTP")

    def stop(self) -> None:
        self._process.stop()
