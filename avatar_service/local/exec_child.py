"""Becomes the program of its arguments, after asking the kernel for SIGTERM when its parent thread ends.

Run as a script: ``python exec_child.py PARENT_PID PROGRAM ARGUMENT...``. A script of its own, and no ``preexec_fn``:
code between fork and exec can deadlock in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the death signal and execute."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before prctl; nobody would signal us
        sys.exit("the parent process has ended")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
