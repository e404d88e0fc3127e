"""Work in forks that are killed one after the other: for scripts that imported, once, what takes long to import."""

import os
import signal
import time
import traceback


def run_killed(work, due, kills=None):
    """Do the same work in one fork after the other, until one comes to its end; return how many were killed.

    Args:
        work: what a fork does.
        due: called before each fork; returns a function that tells whether it is time to kill the fork.
        kills: how many are killed; None for all that are met.
    """
    killed = 0
    while True:
        is_due = due() if kills is None or killed < kills else lambda: False
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:  # whatever was raised: a fork goes no further
                if code:
                    traceback.print_exc()
                os._exit(code)
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and not is_due():
            time.sleep(0.001)
        if ended[0]:
            if ended[1]:
                raise SystemExit(1)
            return killed
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
