"""What would have made the outcome of a recipient another one, in sentences, the nearest things first."""

from collections.abc import Iterator
from typing import Any

_ORDER = ("accept", "mark", "quarantine", "defer", "reject")
_DONE = {"accept": "accepted", "mark": "marked", "quarantine": "held", "defer": "deferred", "reject": "refused"}
_MILDER = {"reject": "quarantine", "quarantine": "mark"}


def flips(report: dict[str, Any], relay: str = "") -> Iterator[str]:
    """Yield what would have made this recipient's outcome (`core.report.recipient_report`) another one.

    `relay` is the relay of ours that handed the message over; "" for everybody else.
    """
    yield from _otherwise(report, relay)
    match report["action"]:
        case "reject":
            yield from _refused(report)
        case "defer":
            yield from _deferred(report)
        case "quarantine":
            yield from _held(report)
        case "mark":
            yield from _marked(report)
        case _:
            yield from _away(report)


def _otherwise(report: dict[str, Any], relay: str) -> Iterator[str]:
    """Yield what else but the policy's findings decided."""
    action, would = report["action"], report["would"]
    if action == would:
        return
    if any(found.get("opt_in") == "released" for found in report["findings"]):
        yield f"would be {_DONE[would]} had the administrator not released it"
    elif report["mode"] != "enforce":
        yield f"mode = enforce would {would}" if would != "mark" else "mode = mark would mark"
    elif _ORDER.index(would) < _ORDER.index(action):
        yield f"would be {_DONE[would]} if the quarantine could have taken what is to be held of the message"
    elif relay:
        yield f"would be {_DONE[would]} from anybody but a relay of ours"
    else:
        yield f"would be {_DONE[would]} alone; the policy of another recipient has it otherwise"


def _by_word(report: dict[str, Any], action: str) -> list[dict[str, Any]]:
    """Return the findings for whose word the policy has this done after DATA."""
    return [found for found in report["findings"] if found.get("after_data") == action]


def _refused(report: dict[str, Any]) -> Iterator[str]:
    worded = _by_word(report, "reject")
    if worded:
        yield f"would not be refused with {_settings(worded)}"
    elif report["refuse_score"] < report["refuse_at"]:  # as older records have it
        yield 'would not be refused with dmarc = "weigh"'
    else:
        refusing = [found for found in report["findings"] if found["origin"] in ("connection", "envelope")]
        yield from _without(refusing, report["refuse_score"] - report["refuse_at"], "refused")


def _settings(worded: list[dict[str, Any]]) -> str:
    """Return the settings with which these findings would do less."""
    return " and ".join(dict.fromkeys(_milder(found["opt_in"], found["after_data"]) for found in worded))


def _milder(word: str, action: str) -> str:
    if word == "dmarc":
        return 'dmarc = "weigh"'
    if word == "spam_reject_score":
        return "content.spam_reject_score = 0.00"
    return f'content.{word} = "{_MILDER.get(action, "stamp")}"'


def _deferred(report: dict[str, Any]) -> Iterator[str]:
    """Yield what would have let in who was told to come back."""
    if report["would"] != "defer":  # on account of others
        return
    worded = _by_word(report, "defer")
    asking = ((found["name"], found.get("defer_at")) for found in report["findings"])
    names = [name for name, defer_at in asking if defer_at is not None and defer_at <= report["refuse_score"]]
    if str(report["reply"]).startswith("452 "):
        yield "would not be deferred in a message of its own"
    elif worded:
        yield f"would not be deferred with {_settings(worded)}"
    elif names:
        yield f"would not be deferred without {' and '.join(names)}"
    else:
        yield f"would not be deferred with an answer from {', '.join(report['unknown'])}"


def _held(report: dict[str, Any]) -> Iterator[str]:
    worded = _by_word(report, "quarantine")
    if report["would"] == "quarantine" and worded:
        yield f"would not be held with {_settings(worded)}"
    elif report["would"] != "quarantine":
        yield 'would not be held with content.mixed_refusals = "mark"'


def _marked(report: dict[str, Any]) -> Iterator[str]:
    names = " and ".join(found["name"] for found in _by_word(report, "mark"))
    above = report["mark_score"] - report["mark_at"]
    if above < 0:
        if names:
            yield f"would not be marked without {names}"
    elif names:
        yield f"would not be marked without {names} and with {above + 0.01:.2f} points less"
    else:
        yield from _without(report["findings"], above, "marked")


def _away(report: dict[str, Any]) -> Iterator[str]:
    """Yield how far an accepted mail is from another outcome; nothing where only the mode keeps it."""
    to_mark, to_refuse = report["mark_at"] - report["mark_score"], report["refuse_at"] - report["refuse_score"]
    if to_mark > 0:
        yield f"would be marked with {to_mark:.2f} points more"
    if to_refuse > 0:
        yield f"would be refused with {to_refuse:.2f} points more on the connection or the envelope, known at RCPT"


def _without(findings: list[dict[str, Any]], above: float, word: str) -> Iterator[str]:
    """Yield the findings that decide alone; where none does, how much less it takes."""
    decisive = [found for found in findings if round(found["score"] - above, 2) > 0]
    for found in decisive:
        yield f"would not be {word} without {found['name']} ({found['score']:.2f})"
    if not decisive:
        yield f"would not be {word} with {above + 0.01:.2f} points less"
