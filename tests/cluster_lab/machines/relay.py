"""What Ansible takes for a machine's shell: `relay.py SOCKET -c COMMAND`, with input and output as a shell has.

Whoever listens on the socket runs the command in the machine (`played.py`).
"""

import json
import socket
import sys


def main(address: str, *words: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        request = {"words": ["/bin/sh", *words], "given": sys.stdin.buffer.read().decode("utf-8", "surrogateescape")}
        with connection.makefile("rw") as lines:
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
    sys.stdout.buffer.write(answer["text"].encode("utf-8", "surrogateescape"))
    return int(answer["status"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
