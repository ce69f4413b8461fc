"""All targets: one for each module of earmark.wire, by its name, and others that read what a stranger wrote."""

from fuzz.targets import (
    attributes,
    clamd,
    dkim,
    dnsxl,
    exim_message,
    message,
    milter,
    milter_mta,
    received,
    rspamc,
    sessions,
    spamd,
    spf,
)

OF_WIRE = (
    attributes.TARGET, clamd.TARGET, dnsxl.TARGET, exim_message.TARGET, message.TARGET, milter.TARGET,
    milter_mta.TARGET, rspamc.TARGET, spamd.TARGET,
)  # fmt: skip
TARGETS = (*OF_WIRE, sessions.MILTER, sessions.POLICY, sessions.EXIM, dkim.TARGET, received.TARGET, spf.TARGET)
