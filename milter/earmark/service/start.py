"""From nothing to a service that is ready to run: each step may refuse, and then nothing stays open."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from earmark.service.account import StartError, account_for, become, prepare_state
from earmark.service.bundle import Bundle, Examination, Refused, Sources
from earmark.service.notify import Notifier
from earmark.service.output import standard_log
from earmark.service.process import how_it_ended
from earmark.service.sockets import ListenError, Listeners
from earmark.service.supervisor import Prepared, Supervisor


def prepare(sources: Sources, state: Path | None) -> Supervisor:
    """Return the service, its sockets open and root given up: to be run by this process.

    `sources` are absolute paths; `state` takes the place of server.toml's directory.
    Raises StartError with everything that is wrong, one problem a line.
    """
    os.umask(0o027)
    _allow_many_descriptors()
    bundle = _examined(sources)
    account = account_for(bundle.user)
    state = (state or Path(bundle.state)).absolute()
    lock = prepare_state(state, account)
    listeners = Listeners((account.pw_uid, account.pw_gid)) if account else Listeners()
    try:
        listeners.require(bundle.listen, bundle.socket_mode)
    except ListenError as error:
        os.close(lock)
        raise StartError(f"earmark: {error}") from error
    if account is not None:
        become(account)
    return Supervisor(Prepared(sources, state, bundle, listeners, lock, standard_log(), Notifier(os.environ)))


def _allow_many_descriptors() -> None:
    """Raise the soft limit to the hard one: a session is a descriptor, and the usual 1024 is a matter of select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _examined(sources: Sources) -> Bundle:
    examination = Examination(sources, lambda: None)
    _, status = os.waitpid(examination.pid, 0)
    found = examination.result(how_it_ended(status))
    if isinstance(found, Refused):
        raise StartError("\n".join(found.problems))
    return found
