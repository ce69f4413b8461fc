"""A milter on pymilter that does as little as `noop_c`: what callbacks into Python cost by themselves.

usage: noop_pymilter SOCKET
"""

import sys
from typing import Any

import milter
from earmark.wire.milter import Steps

_STEPS = int(
    Steps.NR_HELO | Steps.NR_MAIL | Steps.NR_DATA | Steps.NR_HEADER | Steps.NR_EOH | Steps.NR_BODY | Steps.NO_UNKNOWN
)


def _go_on(*_arguments: object) -> int:
    return milter.CONTINUE


def _say_nothing(*_arguments: object) -> int:
    return milter.NOREPLY


def _end_of_message(context: Any) -> int:
    context.addheader("X-Policy", "pass", -1)
    return milter.CONTINUE


def _negotiate(_context: object, options: list[int]) -> int:
    options[1] &= _STEPS
    options[2:] = 0, 0
    return milter.CONTINUE


def main(place: str) -> None:
    """Serve until a signal ends it."""
    milter.set_connect_callback(_go_on)
    milter.set_helo_callback(_say_nothing)
    milter.set_envfrom_callback(_say_nothing)
    milter.set_envrcpt_callback(_go_on)
    milter.set_header_callback(_say_nothing)
    milter.set_eoh_callback(_say_nothing)
    milter.set_body_callback(_say_nothing)
    milter.set_eom_callback(_end_of_message)
    milter.set_abort_callback(_go_on)
    milter.set_close_callback(_go_on)
    milter.register("noop_pymilter", data=_say_nothing, negotiate=_negotiate)
    milter.setbacklog(1024)
    milter.setconn(place)
    milter.opensocket(True)
    milter.main()


if __name__ == "__main__":
    main(sys.argv[1])
