"""What `earmark serve` becomes, free of all that the command line has loaded: `-m earmark.service CONFIG STATE SHADOW`.

The arguments are directories; an empty one stands for the usual one.
"""

import sys
from pathlib import Path

from earmark.service.account import StartError
from earmark.service.bundle import Sources
from earmark.service.start import prepare


def main() -> int:
    """Run the service; return the exit status. What keeps it from starting goes to standard error."""
    directory, state, shadow = (Path(word).absolute() if word else None for word in sys.argv[1:4])
    try:
        supervisor = prepare(Sources(directory, shadow), state)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
