"""A small process that stands for a warm one, as what is asked for is started by a program of ours.

    python -IS as_process.py ARGUMENTS…

It has the streams, environment and folder of the warm one, hands on signals, and ends as that does;
and that one ends with it: see fork_server.py. All in a fiftieth of a second of a core.
"""

import json
import os
import signal
import socket
import sys

HANDED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1)


def main() -> int:
    """The exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    ours, theirs = socket.socketpair()
    env = dict(os.environ)
    request = {"argv": sys.argv[1:], "env": env, "cwd": os.getcwd(), "is_tied": True}  # noqa: PTH109
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests:
        requests.connect(env["TESTS_WARM"])
        socket.send_fds(requests, [json.dumps(request).encode()], [0, 1, 2, theirs.fileno()])
    lines = ours.makefile("rb")
    pid = int(lines.readline())
    for number in HANDED_ON:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    status = os.waitstatus_to_exitcode(int(lines.readline()))
    if status < 0:
        if -status in HANDED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
