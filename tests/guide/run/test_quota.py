"""A CPU limit, where a cgroup can be made."""

import os
import subprocess
import sys

from lab.run import quota

BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_a_process_under_a_limit_is_stopped_in_most_periods_and_its_cgroup_goes():
    with quota.limit(0.25) as limit:
        if limit is None:  # then the kernel offers none that we may write to
            places = [quota.ROOT / "cpu" / "cpu.cfs_quota_us", quota.ROOT / "cpu.max"]
            assert os.geteuid() or not any(
                place.exists() and os.access(place.parent, os.W_OK) for place in places
            )
            return
        burning = subprocess.Popen([sys.executable, "-c", BURN])
        try:
            limit.add(burning.pid)
            assert burning.wait(60) == 0
        finally:
            burning.kill()
            burning.wait()
        periods, throttled = limit.periods()
        # half a second of work, 25 ms in each period
        assert throttled >= 10 and periods >= throttled
    assert not limit.folder.exists()
