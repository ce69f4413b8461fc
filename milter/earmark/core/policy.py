"""Policies as values: what one recipient domain wants, all of them, and how a recipient finds its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from earmark.core.checks import CHECKS, Asking, EnvelopeCheck, Knobs, MessageCheck
from earmark.core.checks.check import no_effects
from earmark.core.checks.content import ContentKnobs
from earmark.core.evidence import Points, Stage
from earmark.core.mail import Address, Site
from earmark.core.verdict import Action


class Mode(StrEnum):
    """How far a policy may go. The milder of the server's and the domain's holds."""

    OBSERVE = "observe"
    MARK = "mark"
    ENFORCE = "enforce"


class OnError(StrEnum):
    """What an unanswered question does by itself."""

    STAMP = "stamp"
    MARK = "mark"
    DEFER = "defer"


class AfterData(StrEnum):
    """What evidence of the content may do that a policy can opt in to refuse on (docs/design.md, promise 1)."""

    WEIGH = "weigh"
    REJECT = "reject"


class Place(NamedTuple):
    """Where a setting was made."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What one recipient domain wants, compiled at load; compared by identity."""

    name: str
    """The domain or pattern that it was written for; "default" for everybody else."""
    mode: Mode
    on_error: OnError
    refuse_at: Points
    mark_at: Points
    subject_tag: str
    """Put before the Subject of marked mail; "" for none."""
    help_url: str
    """Ends the text of refusals; "" for none."""
    knobs: Mapping[str, Knobs]
    """By the name of the check."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """By setting, such as "listings.weights.ZEN_SBL": the file and line in force."""
    refuses: bool = True
    """False for postmaster and abuse, which are never refused."""
    dmarc: AfterData = AfterData.WEIGH
    """What a message may meet that fails DMARC, and whose author's domain asks for its rejection."""
    asking: Asking = field(init=False, repr=False)
    """The checks that it runs, each with its knobs."""
    asking_of_message: Asking = field(init=False, repr=False)
    """Those that look at the message."""
    keeping: tuple[tuple[EnvelopeCheck, Knobs], ...] = field(init=False, repr=False)
    """Those that have something kept."""
    content: ContentKnobs = field(init=False, repr=False)
    """What it says of the scanners and of several recipients."""
    after_data: Mapping[str, Action] = field(init=False, repr=False)
    """What becomes of the message on account of a finding with such an `opt_in`, whatever the scores."""
    holds_content: bool = field(init=False, repr=False)
    """Whether what a scanner says may do more than mark."""
    content_class: tuple[object, ...] = field(init=False, repr=False)
    """Equal for policies that agree on all that matters after DATA."""
    per_recipient: bool = field(init=False, repr=False)
    """Whether two recipients may have different outcomes."""

    def __post_init__(self) -> None:
        pairs = tuple((check, self.knobs[check.name]) for check in CHECKS if check.name in self.knobs)
        of_envelope = tuple((check, knobs) for check, knobs in pairs if isinstance(check, EnvelopeCheck))
        put = object.__setattr__
        put(self, "asking", pairs)
        put(self, "asking_of_message", tuple(pair for pair in pairs if isinstance(pair[0], MessageCheck)))
        put(self, "keeping", tuple(pair for pair in of_envelope if pair[0].effects is not no_effects))
        content = self.knobs.get("content", ContentKnobs())
        put(self, "content", content)
        of_dmarc = {"dmarc": Action.REJECT} if self.dmarc is AfterData.REJECT else {}
        by_word = {**content.after_data(), **of_dmarc}
        if not self.refuses:
            by_word = {word: _unrefusing(word, action) for word, action in by_word.items()}
        put(self, "after_data", by_word)
        of_scanners = (action for word, action in by_word.items() if word not in of_dmarc)
        put(self, "holds_content", any(action >= Action.QUARANTINE for action in of_scanners))
        matters = (self.mode, self.on_error, self.mark_at, self.subject_tag, self.refuses, self.dmarc)
        put(self, "content_class", (*matters, *(id(knobs) for _, knobs in pairs)))  # equal knobs are one object
        put(self, "per_recipient", any(check.per_recipient for check, _ in of_envelope))

    def may_hold(self, site: Site) -> bool:
        """Return whether a finding may bring a message to quarantine, or have it refused where others take it."""
        return self.dmarc is AfterData.REJECT or (bool(site.scanners) and self.holds_content)


def _unrefusing(word: str, action: Action) -> Action:
    """Return what becomes of mail that is never refused nor put off: a virus is held, all else is only marked."""
    if action is Action.REJECT:
        return Action.QUARANTINE if word.startswith("virus") else Action.MARK
    return Action.ACCEPT if action is Action.DEFER else action


_ALWAYS_REACHABLE = frozenset({"postmaster", "abuse"})


class PolicySet:
    """All policies of a generation, and how a recipient finds its own."""

    def __init__(self, default: Policy, domains: Mapping[str, Policy], site: Site) -> None:
        """`domains` is keyed by domain, or by pattern such as "*.example.org", as `domain_key` writes them."""
        self.default = default
        self.domains = domains
        self.site = site
        self.all = tuple(dict.fromkeys((default, *domains.values())))
        """Every distinct policy."""
        self.asking = union(policy.asking for policy in self.all)
        """The checks of all policies: what may be asked before the recipient is known."""
        self.asking_at = {stage: tuple(pair for pair in self.asking if pair[0].stage is stage) for stage in Stage}
        """The same, by the stage from which on it can be asked."""
        self.reads_body = any(
            isinstance(check, MessageCheck) and check.reads_body(knobs) for check, knobs in self.asking
        ) or any(policy.may_hold(site) for policy in self.all)
        """Whether a question about the whole message may come up, or it may have to be held."""
        self._unrefusing = {policy: replace(policy, refuses=False) for policy in self.all}

    def find(self, recipient: Address) -> Policy:
        """Return the recipient's policy: its domain's, else that of the nearest pattern above it, else the default.

        For postmaster (RFC 5321 section 4.5.1) and abuse (RFC 2142) it is the same policy with refusals off.
        """
        policy = self._of_domain(recipient.domain)
        if recipient.local.partition("+")[0].lower() in _ALWAYS_REACHABLE:
            return self._unrefusing[policy]
        return policy

    def _of_domain(self, domain: str) -> Policy:
        policy = self.domains.get(domain)
        while policy is None and domain:
            domain = domain.partition(".")[2]
            policy = self.domains.get(f"*.{domain}")
        return policy or self.default


def union(several: Iterable[Asking]) -> Asking:
    """Return the checks of several policies, once for each knobs object (equal ones are shared at load)."""
    distinct = {(id(check), id(knobs)): (check, knobs) for asking in several for check, knobs in asking}
    return tuple(distinct.values())
