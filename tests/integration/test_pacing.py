"""At most `batch` attempts per interval, whatever happens to the process, and no beat left out while it lives."""
import random
import time

import pytest

from herald import SLOW, Stalls, eventually, reply, reset

INTERVAL = 0.2
BATCH = 2
CORRECTED = 0.1  # by so much the wall clock may be set while a test runs


@pytest.fixture
def paced(memory_path, herald):
    """paced(sink, **env): its files are in memory, since a beat opens no sooner than the disc allows."""
    def make(s, **env):
        return herald(path=memory_path, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="200ms", MESSAGE_BATCH_SIZE=BATCH, **env)
    return make


@pytest.fixture
def stalls():
    with Stalls() as watched:
        yield watched


def check_pace(h, s):
    """What the store remembers and what the receiver saw, against the promise."""
    runs = h.query("SELECT id, started_at FROM herald_runs ORDER BY id")
    opened = {run: at / 1e6 for run, at in runs}
    times = sorted(opened.values())
    for a, b in zip(times, times[1:]):
        assert b - a >= INTERVAL, f"two beats within {b - a:.6f} s"

    # Every attempt belongs to a beat, was not made before it, and shares it with at most one other.
    per_run = {}
    attempts = {}
    beats_of = {}
    for message, attempt, run, started in h.query(
            "SELECT message, attempt, run, started_at FROM herald_attempts"):
        assert run in opened, f"attempt {attempt} of {message} outside of all beats"
        assert started / 1e6 >= opened[run] - CORRECTED
        per_run[run] = per_run.get(run, 0) + 1
        attempts[message] = attempts.get(message, 0) + 1
        beats_of.setdefault(message, []).append(opened[run])
    assert per_run and max(per_run.values()) <= BATCH

    # The receiver saw no request that is not one of these.
    by_content = {}
    for r in s.requests:
        by_content.setdefault(r.json["content"], []).append(r)
    ids = dict(h.query("SELECT content, id FROM herald_messages"))
    for content, requests in by_content.items():
        assert len(requests) <= attempts[ids[content]]

    # The same from outside: however long one watches, there are no more requests than those of the beats that can
    # have opened in that time, and in the time by which one came late before it.
    late = INTERVAL
    for r in s.requests:
        opened_before = [beat for beat in beats_of[ids[r.json["content"]]] if beat <= r.at + CORRECTED]
        assert opened_before, f"{r} came before its beat"
        late = max(late, r.at - max(opened_before) + CORRECTED)
    at = sorted(r.mono for r in s.requests)
    for i, first in enumerate(at):
        for j in range(i, len(at)):
            beats = int((at[j] - first + late) / INTERVAL) + 1
            assert j - i + 1 <= BATCH * beats, f"{j - i + 1} requests in {at[j] - first:.3f} s, {late:.3f} s late"
    return times


def check_no_beat_left_out(times, stalls, *alive):
    """Between two moments of a live process with work, no gap is as long as a beat left out, unless the machine stood
    still."""
    gaps = []
    for since, until in alive:
        inside = [t for t in times if since <= t <= until]
        gaps += [b - a - stalls.excuse(a, b) for a, b in zip(inside, inside[1:])]
    assert gaps, "the process never lived long enough to show anything"
    assert max(gaps) < 1.75 * INTERVAL * SLOW, f"a beat was left out: {max(gaps):.3f} s"


def test_steady(paced, sink, stalls):
    s = sink()
    h = paced(s)
    begin = time.time()
    h.create_many(40)
    work = time.time()
    h.wait_stats(sent=40, timeout=60)
    times = check_pace(h, s)
    check_no_beat_left_out(times, stalls, (work, begin + 3.5))


def test_retries_spend_the_same_budget(paced, sink):
    s = sink(lambda r: reply(503, b"") if r.nth <= 2 else reply())
    h = paced(s, RETRY_BACKOFF="10ms")
    h.create_many(12)
    h.wait_stats(sent=12, timeout=60)
    assert len(s.requests) == 36
    check_pace(h, s)


def test_slow_answers_do_not_stretch_the_beat(paced, sink, stalls):
    s = sink(lambda r: reply(delay=0.7))
    h = paced(s)
    h.create_many(20)
    work = time.time()
    h.wait_stats(sent=20, timeout=60)
    times = check_pace(h, s)
    check_no_beat_left_out(times, stalls, (work, work + 1.8))


def test_a_concurrency_below_the_batch_takes_the_beat_in_parts(herald, sink):
    s = sink(lambda r: reply(delay=0.02))
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL=f"{2 + SLOW}s", MESSAGE_BATCH_SIZE=8, SEND_CONCURRENCY=2,
               AUTO_START_SCHEDULER="false")
    h.create_many(16)
    h.scheduler("start")
    h.wait_stats(sent=16)
    assert s.most_open <= 2
    runs = h.query("SELECT claimed FROM herald_runs WHERE claimed > 0 ORDER BY id")
    assert [n for n, in runs] == [8, 8]


def test_over_stop_and_start(paced, sink):
    s = sink()
    h = paced(s)
    h.create_many(60)
    rng = random.Random(1)
    for _ in range(25):
        time.sleep(rng.uniform(0, 0.15))
        h.scheduler("stop")
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 0.1))
        h.scheduler("start")
        if rng.random() < 0.3:
            h.api.post("/api/v1/scheduler/run")
    h.wait_stats(sent=60, timeout=60)
    check_pace(h, s)
    assert max(s.seen.values()) == 1


def test_over_orderly_restarts(paced, sink, stalls):
    s = sink()
    h = paced(s)
    h.create_many(120)
    alive = []
    rng = random.Random(2)
    for life in range(8):
        begin = time.time()
        if life == 4:
            run = h.status()["runsCount"]
            eventually(lambda run=run: h.status()["runsCount"] >= run + 3, what="three beats")
        time.sleep(rng.uniform(0.1, 0.9))
        alive.append((begin, time.time()))
        h.stop()
        h.start()
    h.wait_stats(sent=120, timeout=60)
    times = check_pace(h, s)
    check_no_beat_left_out(times, stalls, *alive)
    assert max(s.seen.values()) == 1


def test_over_kill_9(paced, sink):
    s = sink(lambda r: reset if r.n % 7 == 3 else reply(delay=0.05))
    h = paced(s, RETRY_BACKOFF="50ms", MAX_ATTEMPTS=50, MAX_LOST_CLAIMS=50)
    h.create_many(60)
    rng = random.Random(3)
    for _ in range(15):
        time.sleep(rng.uniform(0.05, 0.6))
        h.kill()
        h.start()
    h.wait_stats(sent=60, timeout=60)
    check_pace(h, s)
