"""At most two attempts per interval of database time over all nodes, and no beat left out while one lives."""
import collections
import os
import random
import threading
import time

from herald import SLOW, reply, reset

import cluster as c

BATCH = 2


def test_a_kill_at_each_beat(database, nodes, sink, long):
    """Of several nodes one is killed in each beat and started again, at random moments of it; two always stay."""
    beats, n, interval = (200 if long else 40), 5, database.interval
    if not database.beats_survive:
        beats, n = beats // 2, 3
    seed = int(os.environ.get("CRASH_SEED", time.time_ns() % 1000000))
    print(f"CRASH_SEED={seed}")
    rng = random.Random(seed)
    s = sink(lambda r: reset if r.n % 7 == 3 else reply(delay=0.03))
    cl = nodes(n, database, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL=c.ms(interval), MESSAGE_BATCH_SIZE=BATCH,
               AUTO_START_SCHEDULER="false")
    first = cl.nodes[0]
    first.create_many(beats * 10)
    first.scheduler("start")
    time.sleep(interval)
    stalls = c.Stalls()
    since = time.time()
    starts = {node: 1 for node in cl.nodes}
    for _ in range(beats):
        beat_ends = time.monotonic() + interval
        time.sleep(rng.uniform(0, interval / 2))
        # Of those that are ready, or in the middle of starting up.
        ready = [node for node in cl.nodes if node.log_text().count("herald is ready") == starts[node]]
        starting = [node for node in cl.nodes if node not in ready]
        victim = rng.choice(ready if len(ready) > 2 else starting)
        cl.kill(victim)
        starts[victim] = victim.log_text().count("herald is ready") + 1
        victim.start(wait=False)
        time.sleep(max(0, beat_ends - time.monotonic()))
    until = time.time()
    stalls.stop()
    for node in cl.nodes:
        node.wait_ready(20)
    cl.stop()
    times = c.check_pace(cl, s, interval, BATCH)
    c.check_no_beat_left_out(cl, times, since, until, interval, stalls)
    worst = max(b - a for a, b in zip(times, times[1:]))
    assert len(cl.faults) == beats
    by = {node for _, _, node, _ in database.runs()}
    assert len(by) >= (3 if database.beats_survive else 2), f"only {by} ever opened a beat"
    print(f"{len(times)} beats by {sorted(by)}, longest gap {worst:.3f} s, machine {stalls.worst:.3f} s late at worst")


def test_stop_start_and_restarts(database, nodes, sink, long):
    """3 nodes; the scheduler is stopped and started through any of them, runs are asked for, nodes are shut
    down in order, killed and started again, all at the same time."""
    s = sink()
    interval = database.interval
    cl = nodes(3, database, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL=c.ms(interval), MESSAGE_BATCH_SIZE=BATCH)
    cl.nodes[0].create_many(600 if long else 150)
    stopping = threading.Event()
    rng = random.Random(1)

    def steer(seed):
        mine, client = random.Random(seed), cl.client()
        while not stopping.is_set():
            time.sleep(mine.uniform(0, 0.15))
            try:
                client.post("/api/v1/scheduler/" + mine.choice(("stop", "start", "start", "run")), None)
            except (OSError, c.http.client.HTTPException):
                pass

    threads = [threading.Thread(target=steer, args=(n,)) for n in (1, 2)]
    for t in threads:
        t.start()
    try:
        for _ in range(40 if long else 8):
            time.sleep(rng.uniform(0.1, 0.6) * SLOW)
            node = rng.choice(cl.nodes)
            if rng.random() < 0.5:
                cl.kill(node)
            else:
                node.stop()
            node.start()
    finally:
        stopping.set()
        for t in threads:
            t.join()
    cl.nodes[1].create_many(6, "more")  # on a busy machine the others may have been sent by now
    cl.nodes[1].scheduler("start")
    s.wait(len(s.requests) + 6, 20)
    cl.stop()
    c.check_pace(cl, s, interval, BATCH)
    # Sent again is only what a node that was killed may have sent, or what was not answered in time.
    ids = {content: i for i, content, _ in database.messages()}
    unknown = collections.Counter(a.message for a in database.attempts() if a.is_unknown())
    for content, n in collections.Counter(s.contents()).items():
        assert n - 1 <= unknown[ids[content]], f"{content} was delivered {n} times"
