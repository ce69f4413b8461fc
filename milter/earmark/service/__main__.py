"""What `earmark serve` becomes, free of all that the command line has loaded: `-m earmark.service CONFIG STATE`.

Both arguments are directories; an empty one stands for the usual one.
"""

import sys
from pathlib import Path

from earmark.service.account import StartError
from earmark.service.start import prepare


def main() -> int:
    """Run the service; return the exit status. What keeps it from starting goes to standard error."""
    option, state = (Path(word) if word else None for word in sys.argv[1:3])
    try:
        supervisor = prepare(option, state)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
