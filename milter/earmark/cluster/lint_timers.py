"""What does not fit together in an inventory: how long what is waited for."""

from collections.abc import Iterator

from earmark.cluster.files import Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.lint_inventory import At

SHORT_TOKEN = 1000
"""Milliseconds. Shorter ones were never tried, and a host under load misses them."""
FEW_ATTEMPTS = 30
"""A fencing device that refuses is asked about once a second, so this many are half a minute."""
LONG_RECHECK = 120
"""Seconds. After the attempts Pacemaker waits this long with nothing running."""
MIGRATION_THRESHOLD = 3
"""Failures after which the service moves."""
_FENCING_TAKES = 3.0
"""Seconds that cutting the power takes at least."""


def peer_death_seconds(ping: float, ping_timeout: float, timeout: float) -> float:
    """Return the seconds until DRBD knows that its peer is dead, from its timers in seconds.

    Measured: 16.0 s where this says 16.5 (DRBD's defaults), 3.6 s where it says 4.0.
    """
    return ping + ping_timeout + timeout


def takeover_seconds(token: float) -> float:
    """Return the seconds until the other host may take over: token and consensus (1.2 tokens), and fencing."""
    return 2.2 * token + _FENCING_TAKES


def lint_timers(inventory: Inventory, at: At) -> Iterator[Finding]:
    """Find what is wrong with the timers."""
    yield from _service(inventory, at)
    yield from _cluster(inventory, at)
    yield from _storage(inventory, at)


def _service(inventory: Inventory, at: At) -> Iterator[Finding]:
    timers, guest, group = inventory.timers, inventory.guest, inventory.group
    if guest and timers.start < 2 * guest.boot:
        reason = f"a guest that boots in {guest.boot} s may need twice that after a crash: {2 * guest.boot} or more"
        yield Finding(at("timers", "start"), "start-timeout-short", f"start = {timers.start}: {reason}")
    if guest and timers.stop <= guest.shutdown:
        reason = f"the guest takes {guest.shutdown} s, and then its host would be fenced: more than that"
        yield Finding(at("timers", "stop"), "stop-timeout-short", f"stop = {timers.stop}: {reason}")
    if group and timers.stop <= timers.drain:
        reason = f"sessions get {timers.drain} s to end, and then the host would be fenced: more than that"
        yield Finding(at("timers", "stop"), "stop-timeout-short", f"stop = {timers.stop}: {reason}")
    if timers.failure <= MIGRATION_THRESHOLD * timers.monitor:
        reason = (
            f"{MIGRATION_THRESHOLD} failures take {MIGRATION_THRESHOLD * timers.monitor} s to be seen, and would be"
        )
        reason += " forgotten before they count: more than that"
        yield Finding(at("timers", "failure"), "failure-timeout-short", f"failure = {timers.failure}: {reason}")


def _cluster(inventory: Inventory, at: At) -> Iterator[Finding]:
    timers = inventory.timers
    if timers.token < SHORT_TOKEN:
        reason = f"a busy host misses {timers.token} ms and is fenced for it: {SHORT_TOKEN} or more"
        yield Finding(at("timers", "token"), "token-short", reason, refuses=False)
    if timers.fencing_attempts < FEW_ATTEMPTS:
        reason = f"a device that refuses is given up after about {timers.fencing_attempts} s: {FEW_ATTEMPTS} or more"
        yield Finding(at("timers", "fencing_attempts"), "fencing-gives-up", reason)
    if timers.recheck > LONG_RECHECK:
        reason = f"once fencing has given up, nothing happens for {timers.recheck} s: {LONG_RECHECK} or less"
        yield Finding(at("timers", "recheck"), "recheck-long", reason)
    if timers.qdevice_sync < timers.qdevice:
        reason = "the arbitrator gets less time during a change than at rest: qdevice_sync at least as long as qdevice"
        yield Finding(at("timers", "qdevice_sync"), "qdevice-sync-short", reason)


def _storage(inventory: Inventory, at: At) -> Iterator[Finding]:
    timers = inventory.timers
    if timers.drbd_timeout >= 10 * timers.drbd_ping:
        reason = f"{timers.drbd_timeout} tenths of a second must be less than drbd_ping, {timers.drbd_ping} s"
        yield Finding(at("timers", "drbd_timeout"), "drbd-timeout-long", reason)
    death = peer_death_seconds(timers.drbd_ping, 0.5, timers.drbd_timeout / 10)
    takeover = takeover_seconds(timers.token / 1000)
    if death > takeover:
        reason = (
            f"DRBD knows of a dead peer after {death:.1f} s, the cluster after {takeover:.1f} s: until then the disk"
        )
        reason += " cannot be promoted. Set drbd_ping = 2 and drbd_timeout = 15"
        yield Finding(at("timers", "drbd_ping"), "drbd-detection-slow", reason)
