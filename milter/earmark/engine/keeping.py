"""Having a message held: written before anything is answered, and not waited for without end."""

import asyncio
from collections.abc import Callable

from earmark.content import Content
from earmark.core.held import Held
from earmark.engine.needs import Shared


def keep(engine: Shared, held: Held, content: Content | None, done: Callable[[str], None]) -> None:
    """Have a message held; `done` is called once, with "" when it is safely on disk, else with why it is not."""
    if content is None:
        done("the body was not kept")
        return
    over = False

    def once(why: str) -> None:
        nonlocal over
        if not over:
            over = True
            giving_up.cancel()
            done(why)

    giving_up = asyncio.get_running_loop().call_later(engine.budget, once, "it took too long")
    engine.world.keep(held, content, once)
