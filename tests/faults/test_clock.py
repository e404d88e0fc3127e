"""The system's clock jumps by a day, back and forth, as a laptop's does that wakes up: a build does not look at it."""

import itertools
import time

from kotovec.cluster.build import Resources, build
from kotovec.workers.encoder import Encoder

from rays import Listener, datasets, left_behind

DAY = 86400.0


def test_a_build_in_which_the_clock_jumps_by_a_day_at_every_shard_ends_in_the_same_bytes(
    calm, employ, tmp_path, monkeypatch
):
    """The driver's and the workers'; a worker is held to have stalled after a minute, by a clock that only runs."""
    plan, expected = calm
    jumps = itertools.cycle([DAY, -DAY, 0.0])

    class Jumping(Encoder):
        def encode(self, number, *arguments):
            time.time = lambda: time.clock_gettime(time.CLOCK_REALTIME) + (-1) ** number * DAY
            return super().encode(number, *arguments)

    class Jumps(Listener):
        def __call__(self, event):
            self.append(event)
            jump = next(jumps)
            monkeypatch.setattr(time, "time", lambda: time.clock_gettime(time.CLOCK_REALTIME) + jump)

    employ(Jumping)
    listener, store = Jumps(), tmp_path / "x.kotovec"
    summary = build(plan, store, Resources(workers=2, stall_seconds=60.0), report=listener)
    assert len(listener.progress) > len(plan.shards)
    assert listener.notices == []
    assert all(0 <= seconds < 3600 for seconds in summary.seconds.values())
    assert datasets(store) == expected
    assert left_behind(store) == []
