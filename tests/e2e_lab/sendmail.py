"""A Sendmail instance of its own, with deploy/sendmail/earmark.m4 as it stands, in a network of its own.

Sendmail has no XCLIENT: whoever is claimed to connect must connect. So it runs where this host has all addresses of the
documentation ranges (`network`), and reaches earmark and Dovecot by unix sockets.
"""

import re
from pathlib import Path

from e2e_lab import network
from e2e_lab.network import Network
from e2e_lab.processes import Process, told_by, wait_until

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".venv" / "sendmail"
"""Where `./dev test` has tests/e2e_lab/unpack-sendmail put it."""
PROGRAM = UNPACKED / "usr" / "libexec" / "sendmail" / "sendmail"
M4 = UNPACKED / "usr" / "share" / "sendmail" / "cf"
LINES = ROOT / "deploy" / "sendmail" / "earmark.m4"
PORT = 25

# Dovecot speaks LMTP on a unix socket ("FILE"); it is given the whole address. A message is delivered before its sender
# is answered ("interactive"), so that what is in the queue then could not be delivered.
CONFIGURATION = """
OSTYPE(`linux')dnl
define(`QUEUE_DIR', `{top}/queue')dnl
define(`confPID_FILE', `{top}/pid')dnl
define(`STATUS_FILE', `')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confTO_IDENT', `0')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
define(`confDELIVERY_MODE', `interactive')dnl
define(`confAUTH_MECHANISMS', `ANONYMOUS')dnl
TRUST_AUTH_MECH(`ANONYMOUS')dnl
define(`confCONNECTION_RATE_THROTTLE', `0')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
RELAY_DOMAIN(`{domains}')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=127.0.0.1, Port={port}')dnl
DAEMON_OPTIONS(`Name=MTA6, Family=inet6, Addr=::1, Port={port}')dnl
define(`EARMARK_SOCKET', `unix:{milter}')dnl
include(`{lines}')dnl
MAILER(`smtp')dnl
LOCAL_RULE_0
R$* < @ $+ . > $*	$#dovecot $@ dovecot $: $1 < @ $2 . > $3
R$* < @ $+ > $*	$#dovecot $@ dovecot $: $1 < @ $2 > $3
MAILER_DEFINITIONS
Mdovecot, P=[IPC], F=8lsDFMnXz/:|, E=\\r\\n, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP, T=DNS/RFC822/SMTP,
	A=FILE {lmtp}
"""
