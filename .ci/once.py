"""One part of set-up: `python once.py TARGET NEEDED… -- COMMAND`.

Runs the shell command and touches the target, unless somebody else did so while this
waited: two calls of make at once set up one after the other. The target is younger than
all that is needed, or the part is not done. Any Python 3 runs this, before set-up.
"""

import fcntl
import pathlib
import subprocess
import sys


def main():
    split = sys.argv.index("--")
    target, *needed = map(pathlib.Path, sys.argv[1:split])
    with open(".set-up.lock", "w") as lock:  # noqa: PTH123 - before 3.6 too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            done = target.stat().st_mtime
            if all(path.stat().st_mtime <= done for path in needed):
                return 0
        code = subprocess.call(["sh", "-c", sys.argv[split + 1]])
        if code == 0:
            target.touch()
        return code


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit("set-up: stopped — the next call goes on where this one was")
