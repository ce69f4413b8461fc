"""Something that happens to a cluster at rest, from then on until it is looked at."""

import time

from cluster_lab.cluster import Cluster
from cluster_lab.members import Host
from cluster_lab.tries import Try, outage


class Episode:
    """`was` is the host that has the service when it begins, `other` the one that has not."""

    def __init__(self, cluster: Cluster) -> None:
        """Begin, once the cluster is at rest."""
        self.cluster = cluster
        self.was = cluster.wait_at_rest()
        (self.other,) = cluster.hosts.keys() - {self.was}
        self.began = time.time()
        self.outage = 0.0
        """The longest time without an accepted message, in seconds, as far as it has been looked at."""

    @property
    def active(self) -> Host:
        return self.cluster.hosts[self.was]

    @property
    def passive(self) -> Host:
        return self.cluster.hosts[self.other]

    def taken_over(self) -> None:
        """Wait until the other host accepts mail."""
        self._accepted_by(self.other, self.began)

    def comes_back(self) -> None:
        """Wait until the same host accepts mail again."""
        self._accepted_by(self.was, time.time())

    def goes_on(self, messages: int = 50) -> None:
        """Wait until the same host has accepted so many more messages, and nobody anything else."""
        since = time.time()
        assert {each.host for each in self.cluster.wait_tries(since, messages)} == {self.was}
        self._accepted_by(self.was, since)

    def _accepted_by(self, host: str, since: float) -> None:
        self.cluster.wait_accepted(since, host)
        self.outage = outage(self.cluster.tries(), self.began)

    @property
    def tries(self) -> list[Try]:
        """What was tried since it began."""
        return [each for each in self.cluster.tries() if each.at > self.began]

    @property
    def fenced(self) -> list[str]:
        """The hosts whose power the cluster has had cut."""
        return [order.host for order in self.cluster.fenced(self.began) if order.obeyed]

    def check_mail(self) -> None:
        """Raise where mail was refused that must not be, or taken that must, or two hosts wanted the disk at once."""
        assert not self.cluster.disk.opened_twice()
        assert not [each for each in self.cluster.tries() if each.code >= 500]
        # A service that has just been started, on a machine that is busy, may not know its list yet: it says so.
        taken = {each.number for each in self.cluster.tries_of_listed() if each.accepted}
        if taken:
            disk = self.cluster.disk
            self.cluster.wait_until(lambda: taken <= disk.let_pass_unasked(), "what a listed client sent was unasked")
