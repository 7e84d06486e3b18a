"""A copy of the SQLite file, made while herald works on it, and what follows when it takes the original's place."""
import sqlite3
import threading

import herald as h


def test_backup_while_running_and_restore(herald, sink):
    copied = threading.Event()
    s = sink(lambda r: h.reply() if r.n < 40 else h.after(copied))
    first = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="50ms", MESSAGE_BATCH_SIZE="20",
                   WEBHOOK_TIMEOUT_SECONDS=60)
    ids = first.create_many(400)
    s.wait(50)

    # As `sqlite3 herald.db ".backup COPY"` does it.
    second = herald(start=False, WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="50ms", MESSAGE_BATCH_SIZE="20")
    with sqlite3.connect(first.database) as source, sqlite3.connect(second.database) as copy:
        source.backup(copy)
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()
    source.close()
    copied.set()
    # Undisturbed by it, and later than the copy.
    first.wait_stats(sent=400)
    assert len(s.requests) == 400
    first.kill()

    # Nothing is sent while somebody looks at what the copy holds.
    second.start(ROLE="api")
    second.run("stop").check_returncode()
    stats = second.api.get("/api/v1/messages/stats").data
    assert stats["total"] == 400 and 0 < stats["sent"] + stats["sending"] < 400
    second.stop()
    second.start(ROLE="all")
    assert second.api.get("/api/v1/scheduler/status").data["running"] is False
    assert len(s.requests) == 400
    second.run("start").check_returncode()
    second.wait_stats(sent=400)
    # What was sent after the copy was made is sent again, each under the key that it had.
    assert 400 < len(s.requests) <= 800
    keys = {}
    for request in s.requests:
        keys.setdefault(request.json["content"], set()).add(request.headers["idempotency-key"])
    assert len(keys) == len(ids) == 400 and all(len(k) == 1 for k in keys.values())
