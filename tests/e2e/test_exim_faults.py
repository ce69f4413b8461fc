"""A door that fails: Exim does what deploy/exim/main says for each hook, nothing is lost and nothing wrongly refused.

Exim waits for whole seconds only; the limits here are the shortest that leave a busy machine time to answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from e2e_lab import smtp
from e2e_lab.clamd import EICAR
from e2e_lab.exim import Exim
from e2e_lab.exim_invariants import assert_exim_invariants
from e2e_lab.faults import Fault, FaultProxy
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent, send_until_settled, stuffed, unanswered

PLAIN = b"Subject: plain\n\nplain\n"
FORGED = b"X-Spam-Flag: YES\nX-Earmark: v=1\nX-Earmark-Prdr: yes\n"
LISTED = Peer("203.0.113.7")
PUT_OFF = (451, "4.7.1 Service unavailable - try again later")
WORKS = Fault()
DOWN = Fault("down")
HANGS = Fault("hang")


@dataclass(frozen=True)
class Shaky:
    """Exim with a proxy before each door that fails when a test says so; a port for each of what may happen then."""

    policy: FaultProxy
    content: FaultProxy
    deferring: int
    accepting: int
    freezing: int

    def send(
        self, port: int, *recipients: str, message: bytes = PLAIN, peer: Peer = CLEAN, parameters: str = ""
    ) -> Sent:
        return smtp.send(port, peer, SENDER, recipients, message, parameters=parameters)

    def settle(self, message: bytes, *recipients: str) -> list[Sent]:
        """Have the doors work, and send until all of them have it; return every attempt."""
        self.work()
        return send_until_settled(lambda left: self.send(self.deferring, *left, message=message), recipients)

    def work(self) -> None:
        self.policy.fault = self.content.fault = WORKS


@pytest.fixture(scope="module")
def doors(whole_lab: Lab) -> Iterator[Shaky]:
    exim = whole_lab.exim
    if exim is None:
        pytest.skip("no Exim")
    policy = FaultProxy(whole_lab.policy_door, half_closed=True)
    content = FaultProxy(whole_lab.content_door)
    macros = {
        "EARMARK_POLICY_DOOR": f"inet:127.0.0.1:{policy.port}",
        "EARMARK_CONTENT_DOOR": f"127.0.0.1 {content.port}",
        "EARMARK_HINT_WITHIN": "1s",
        "EARMARK_RCPT_WITHIN": "2s",
        "EARMARK_CONTENT_WITHIN": "3s",
    }
    accepting = {"EARMARK_IF_DOWN_AT_RCPT": "accept", "EARMARK_IF_DOWN_AFTER_DATA": "accept"}
    yield Shaky(
        policy,
        content,
        deferring=exim.listen("deferring", **macros),
        accepting=exim.listen("accepting", **macros, **accepting),
        freezing=exim.listen("freezing", **macros, EARMARK_IF_DOWN_AFTER_DATA="freeze"),
    )
    policy.stop()
    content.stop()


@pytest.fixture
def shaky(doors: Shaky, exim: Exim) -> Iterator[Shaky]:  # noqa: ARG001 - the lab begins anew
    yield doors
    doors.work()


def say(text: bytes) -> Fault:
    return Fault("say", text=text)


AT_RCPT = {
    "dead": DOWN,
    "refusing": Fault("refuse"),
    "hung": HANGS,
    "slow": Fault("slow", size=40),
    "silent": say(b""),
    "cut after a byte": Fault("cut", size=1),
    "cut after the action": Fault("cut", size=18),
    "cut before the last line end and more": Fault("cut", size=30),
    "garbage": say(bytes(range(256)) * 40),
    "another protocol": say(b"action=DUNNO\n\n"),
    "consent without an end": say(b"v=1\naction=accept\ncode=\nreply=\nid=\n"),
    "refusal without a beginning": say(b"action=reject\ncode=550\nreply=550 5.7.1 no\nid=\nend=1\n"),
    "consent and no end of the connection": Fault("half", text=b"v=1\naction=accept\nend=1\n"),
}


@pytest.mark.parametrize("fault", AT_RCPT.values(), ids=AT_RCPT)
def test_while_the_policy_door_fails_recipients_are_put_off(lab: Lab, exim: Exim, shaky: Shaky, fault: Fault) -> None:
    shaky.policy.fault = fault
    sent = [shaky.send(shaky.deferring, "bob@lab.test", peer=LISTED)]
    assert [(reply.code, reply.said) for reply in sent[0].recipients.values()] == [PUT_OFF]
    sent += shaky.settle(PLAIN, "bob@lab.test")
    assert lab.delivery("bob@lab.test").folder == "INBOX"
    assert_exim_invariants(lab, exim, sent)


def test_with_accept_whom_nobody_could_refuse_at_rcpt_is_marked_after_data(lab: Lab, exim: Exim, shaky: Shaky) -> None:
    shaky.policy.fault = DOWN
    sent = shaky.send(shaky.accepting, "bob@lab.test", peer=LISTED)
    assert lab.delivery("bob@lab.test").folder == "Junk"
    assert_exim_invariants(lab, exim, [sent])


def test_a_door_that_hangs_is_given_up_at_once_and_asked_again_at_rcpt(lab: Lab, exim: Exim, shaky: Shaky) -> None:
    before = shaky.policy.connections
    shaky.policy.fault = HANGS
    sent = unanswered(LISTED, SENDER, ["bob@lab.test", "bob@marks.test"], PLAIN)
    with Client(shaky.deferring) as client:
        greeted = client.introduce(LISTED)
        client.command(f"MAIL FROM:<{SENDER}>")
        assert shaky.policy.connections == before + 1, "CONNECT alone has waited"
        client.command("RSET")
        shaky.work()
        client.transact_after(greeted, sent)
    assert [reply.code for reply in sent.recipients.values()] == [550, 250]
    assert_exim_invariants(lab, exim, [sent])


REPORT = b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 0.00 / 5.00 / 5.00\r\nAction: accept\r\n"
AFTER_DATA = {
    "dead": DOWN,
    "refusing": Fault("refuse"),
    "hung": HANGS,
    "slow": Fault("slow", size=300),
    "gone in the middle of the message": Fault("reset", size=2000),
    "silent": say(b""),
    "cut in the first line": Fault("cut", size=10),
    "cut before the report": Fault("cut", size=len(REPORT)),
    "cut in the report": Fault("cut", size=len(REPORT) + 30),
    "garbage": say(bytes(range(256)) * 200),
    "spamd": say(b"SPAMD/1.5 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n"),
    "no report": say(REPORT),
    "a report without an end": say(REPORT + b"v=1\naction=accept\ncode=\nreply=\nid=\nremove=\n"),
    "a report without a beginning": say(REPORT + b"action=reject\ncode=550\nreply=550 5.7.1 no\nend=1\n"),
    "a report and no end of the connection": Fault("half", text=REPORT + b"v=1\naction=accept\nend=1\n"),
}


def large() -> bytes:
    return mail((b"x" * 70 + b"\n") * 100)


@pytest.mark.parametrize("fault", AFTER_DATA.values(), ids=AFTER_DATA)
def test_while_the_content_door_fails_messages_are_put_off(lab: Lab, exim: Exim, shaky: Shaky, fault: Fault) -> None:
    shaky.content.fault = fault
    message = large()
    sent = [shaky.send(shaky.deferring, "bob@lab.test", "eve@refuses.test", message=message)]
    assert sent[0].final
    assert (sent[0].final.code, sent[0].final.said) == PUT_OFF
    sent += shaky.settle(message, "bob@lab.test", "eve@refuses.test")
    assert [copy.folder for copy in lab.deliveries()] == ["INBOX", "INBOX"]
    assert_exim_invariants(lab, exim, sent)


@pytest.mark.parametrize("fault", [DOWN, HANGS, say(REPORT)], ids=["dead", "hung", "no report"])
def test_while_the_content_door_fails_recipients_are_put_off_under_prdr(
    lab: Lab, exim: Exim, shaky: Shaky, fault: Fault
) -> None:
    recipients = [f"{number}@lab.test" for number in range(5)]
    before = shaky.content.connections
    shaky.content.fault = fault
    sent = shaky.send(shaky.deferring, *recipients, parameters=" PRDR")
    assert [(reply.code, reply.said) for reply in sent.after_data.values()] == [PUT_OFF] * 5
    assert shaky.content.connections <= before + 1, "not asked again for each recipient"
    assert not lab.deliveries()
    assert_exim_invariants(lab, exim, [sent])


def test_with_accept_what_nobody_judged_goes_on_without_forged_marks(lab: Lab, shaky: Shaky) -> None:
    shaky.content.fault = DOWN
    for parameters in ("", " PRDR"):
        sent = shaky.send(
            shaky.accepting, "a@refuses.test", "b@lab.test", message=FORGED + mail(EICAR), parameters=parameters
        )
        assert sent.queue_id
    copies = lab.deliveries()
    assert len(copies) == 4
    assert not any(b"X-Spam" in copy.file.read_bytes() or b"X-Earmark" in copy.file.read_bytes() for copy in copies)


def test_with_freeze_what_nobody_judged_is_held(lab: Lab, exim: Exim, shaky: Shaky) -> None:
    shaky.content.fault = DOWN
    sent = shaky.send(shaky.freezing, "bob@lab.test", message=mail(EICAR))
    assert exim.held() == [sent.queue_id]
    assert not lab.deliveries()
    exim.discard_held()


def test_a_word_that_is_none_of_the_settings_puts_off(lab: Lab, exim: Exim, shaky: Shaky) -> None:
    shaky.policy.fault = DOWN
    nonsense = exim.listen("nonsense", EARMARK_POLICY_DOOR=f"inet:127.0.0.1:{shaky.policy.port}",
                           EARMARK_CONTENT_DOOR=f"127.0.0.1 {shaky.content.port}",
                           EARMARK_IF_DOWN_AT_RCPT="tempfail", EARMARK_IF_DOWN_AFTER_DATA="quarantine")  # fmt: skip
    assert shaky.send(nonsense, "bob@lab.test").recipients["bob@lab.test"].code == 451
    shaky.policy.fault, shaky.content.fault = WORKS, DOWN
    sent = shaky.send(nonsense, "bob@lab.test")
    assert sent.final
    assert sent.final.code == 451
    assert not lab.deliveries()


def test_an_answer_of_an_earlier_message_is_never_taken_for_that_of_a_later_one(
    lab: Lab, exim: Exim, shaky: Shaky
) -> None:
    sent = [unanswered(CLEAN, SENDER, [f"{number}@lab.test"], PLAIN) for number in range(3)]
    with Client(shaky.deferring) as client:
        client.introduce(CLEAN)
        client.transact(sent[0])
        shaky.content.fault = DOWN
        client.transact(sent[1])
        shaky.work()
        client.transact(sent[2])
    assert [one.final.code for one in sent if one.final] == [250, 451, 250]
    assert_exim_invariants(lab, exim, sent)


HOSTILE = b"%s ${run{/bin/false}} $local_part \\n {}} ${expand:x}"


def test_what_an_answer_says_is_never_expanded(lab: Lab, shaky: Shaky) -> None:
    text = HOSTILE.decode()
    shaky.policy.fault = say(b"v=1\naction=reject\ncode=550\nreply=550 5.7.1 " + HOSTILE + b"\nid=\nend=1\n")
    (reply,) = shaky.send(shaky.deferring, "bob@lab.test").recipients.values()
    assert (reply.code, reply.said) == (550, f"5.7.1 {text}")
    shaky.policy.fault = WORKS
    shaky.content.fault = say(
        REPORT + b"v=1\naction=defer\ncode=451\nreply=451 4.7.1 " + HOSTILE + b"\nid=\nremove=\nend=1\n"
    )
    final = shaky.send(shaky.deferring, "bob@lab.test").final
    assert final
    assert (final.code, final.said) == (451, f"4.7.1 {text}")
    shaky.content.fault = say(
        REPORT + b"v=1\naction=accept\ncode=\nreply=\nid=\nremove=x-gone\nadd0=X-Spam-Test: " + HOSTILE + b"\tfolded\n"
        b"rcpt0=mark " + HOSTILE + b"\ncut=\nend=1\n"
    )  # fmt: skip
    assert shaky.send(shaky.deferring, "bob@lab.test").queue_id
    assert lab.delivery("bob@lab.test").values("X-Spam-Test") == [f"{text} folded"]


STAGES = ("EHLO", "MAIL", "RCPT", "DATA", "BODY")


def dialogue(exim: Exim, sent: Sent) -> Iterator[str]:
    """Play a transaction; yield the name of each stage when it has been answered."""
    half = len(sent.message) // 2
    with Client(exim.smtp) as client:
        client.introduce(sent.peer)
        yield "EHLO"
        client.command(f"MAIL FROM:<{sent.sender}>")
        yield "MAIL"
        (recipient,) = sent.recipients
        sent.recipients[recipient] = client.command(f"RCPT TO:<{recipient}>")
        yield "RCPT"
        if sent.accepted:
            sent.final = client.command("DATA")
            yield "DATA"
            raw = stuffed(sent.message)
            client.send(raw[:half])
            yield "BODY"
            client.send(raw[half:])
            sent.final = client.reply()
    yield "END"


@pytest.mark.parametrize("how", ["workers killed", "service killed", "restarted"])
def test_a_restart_at_any_stage_costs_a_451_at_most_and_the_retry_delivers(lab: Lab, exim: Exim, how: str) -> None:
    broken = [unanswered(CLEAN, f"{stage}@sender.test", ["bob@lab.test"], PLAIN) for stage in STAGES]
    dialogues = [dialogue(exim, sent) for sent in broken]
    for stage, one in zip(STAGES, dialogues, strict=True):
        while next(one) != stage:
            pass
    if how == "workers killed":
        lab.service.kill_children()
    elif how == "service killed":
        lab.service.kill()
    else:
        lab.service.stop()
    if how == "restarted":
        lab.service.start()
        lab.service.wait_ready()
    sent = list(broken)
    for attempt, one in zip(broken, dialogues, strict=True):
        assert list(one)[-1] == "END"
        last = attempt.final or attempt.recipients["bob@lab.test"]
        assert last.code in {250, 451}, attempt
    if how == "service killed":
        assert {(one.final or one.recipients["bob@lab.test"]).code for one in broken} == {451}
        lab.service.start()
    lab.service.wait_ready()
    for attempt in broken:
        if not attempt.queue_id:
            again = partial(_again, exim, attempt.sender)
            sent += send_until_settled(again, ["bob@lab.test"])
    assert len(lab.deliveries("bob@lab.test")) == len(STAGES)
    assert_exim_invariants(lab, exim, sent)


def _again(exim: Exim, sender: str, left: list[str]) -> Sent:
    return exim.send(PLAIN, *left, sender=sender)
