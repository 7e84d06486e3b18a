"""What is wrong with the disk, the file or the port is said clearly, and costs nobody a message."""
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from herald import PHONE, after, batch_ids, eventually, hang, reply


def privileged(*command):
    """Runs a command as root, if that is possible without asking."""
    if os.geteuid() != 0:
        command = ("sudo", "-n", *command)
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB; small_disk.resize("64m"), small_disk.read_only(bool)."""
    class Disk:
        path = tmp_path / "disk"

        def remount(self, options):
            done = privileged("mount", "-o", f"remount,{options}", self.path)
            assert done.returncode == 0, done.stderr

        def resize(self, size):
            self.remount(f"size={size}")

        def read_only(self, on):
            self.remount("ro" if on else "rw")

    disk = Disk()
    disk.path.mkdir()
    done = privileged("mount", "-t", "tmpfs", "-o", f"size=4m,mode=0777,uid={os.getuid()}", "none", disk.path)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield disk
    privileged("umount", "-l", disk.path)


def refused(h, *words, code=(1, 2)):
    """Starts herald, which has to end by itself, with all of these words in its last breath."""
    h.start(wait=False)
    got = h.wait()
    text = h.log_text()
    assert got in code, f"{got}: {text}"
    lines = [line for line in text.splitlines() if all(w.lower() in line.lower() for w in words)]
    assert lines, f"no line with {words}:\n{text}"
    return text


# --- the disk ---------------------------------------------------------------------------------------------


def test_full_disk_refuses_new_messages_and_keeps_the_old(herald, sink, small_disk):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, DATABASE_URL=f"sqlite:{small_disk.path}/herald.db", AUTO_START_SCHEDULER="false")
    accepted = []
    refusal = None
    for i in range(40):
        rows = [{"phoneNumber": PHONE, "content": f"{i}-{j} ".ljust(900, "x")} for j in range(200)]
        a = h.api.post("/api/v1/messages/batch", rows)
        if a.status != 201:
            refusal = a
            break
        accepted += batch_ids(a.data)
    assert refusal is not None and refusal.status == 503, refusal
    assert refusal.headers["Retry-After"] and refusal.json["success"] is False
    assert accepted
    # It lives, says so, and reads still work.
    assert h.api.get("/livez").status == 200
    assert h.get(accepted[0])["status"] == "pending"
    assert h.stats()["total"] == len(accepted)
    # Killed in this state, nothing accepted is gone.
    h.kill()
    small_disk.resize("64m")
    h.start()
    assert h.stats()["total"] == len(accepted)
    h.create("room again")
    h.scheduler("start")
    h.wait_stats(sent=len(accepted) + 1)


def test_disk_that_fills_while_sending(herald, sink, small_disk):
    full = threading.Event()
    s = sink(lambda r: reply(delay=0.002) if r.n < 400 else after(full))
    small_disk.resize("48m")  # a log that fills the disk before it is first moved leaves no room to move it to
    database = small_disk.path / "herald.db"
    h = herald(WEBHOOK_URL=s.url, DATABASE_URL=f"sqlite:{database}", AUTO_START_SCHEDULER="false",
               SEND_CONCURRENCY=8, WEBHOOK_TIMEOUT_SECONDS=60)
    ids = h.create_many(1500)
    h.scheduler("start")
    s.wait(400)
    with open(small_disk.path / "ballast", "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            pass
    full.set()
    time.sleep(2)
    os.unlink(small_disk.path / "ballast")
    h.wait_stats(sent=1500, timeout=90)
    # Nobody died, so nobody had to guess: each was sent once.
    assert len(s.requests) == 1500 and len(s.seen) == len(ids)
    h.stop()
    db = sqlite3.connect(database)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_read_only_disk(herald, small_disk):
    h = herald(DATABASE_URL=f"sqlite:{small_disk.path}/herald.db", start=False)
    small_disk.read_only(True)
    refused(h, "herald.db")


def test_read_only_file(herald, small_disk):
    h = herald(DATABASE_URL=f"sqlite:{small_disk.path}/herald.db", AUTO_START_SCHEDULER="false")
    h.create_many(10)
    h.stop()
    small_disk.read_only(True)
    text = refused(h, "herald.db")
    assert "read" in text.lower()
    small_disk.read_only(False)
    h.start()
    assert h.stats()["pending"] == 10


def test_no_such_directory(herald):
    h = herald(start=False)
    h.env["DATABASE_URL"] = f"sqlite:{h.dir}/nowhere/herald.db"
    refused(h, "nowhere/herald.db")


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["text", "zeros", "short", "directory"])
def test_a_file_that_is_no_database(herald, what):
    h = herald(start=False)
    content = {"text": b"Dear diary,\n" * 1000, "zeros": b"\0" * 8192, "short": b"SQLite format 3", "directory": None}[what]
    if content is None:
        h.database.mkdir()
    else:
        h.database.write_bytes(content)
    refused(h, "herald.db")
    if content is not None:
        assert h.database.read_bytes() == content, "herald wrote into a file that is not its own"


def test_a_database_of_something_else(herald):
    h = herald(start=False)
    db = sqlite3.connect(h.database)
    db.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
    db.execute("INSERT INTO customers VALUES (1, 'Ada')")
    db.commit()
    db.close()
    # Tables are named herald_…, so that they can live beside an application's own.
    h.start()
    h.create()
    h.stop()
    assert h.query("SELECT name FROM customers") == [("Ada",)]


def test_a_damaged_database(herald):
    h = herald(AUTO_START_SCHEDULER="false")
    h.create_many(2000)
    h.stop()
    image = bytearray(h.database.read_bytes())
    for page in range(1, len(image) // 4096):
        image[page * 4096:page * 4096 + 200] = os.urandom(200)
    h.database.write_bytes(image)
    h.start(wait=False)

    # Whether it notices at once or at the first look, it neither crashes nor answers with rubbish.
    def noticed():
        code = h.process.poll()
        if code is not None:
            assert code in (1, 2), code
            return True
        try:
            return h.api.get("/api/v1/messages").status in (500, 503)
        except OSError:
            h.forget_connection()
            return False
    eventually(noticed)
    eventually(lambda: "damaged" in h.log_text())


def test_a_database_of_a_newer_version(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, AUTO_START_SCHEDULER="false")
    h.create_many(3)
    h.stop()
    db = sqlite3.connect(h.database)
    [version] = db.execute("PRAGMA user_version").fetchone()
    assert version >= 1
    db.execute(f"PRAGMA user_version = {version + 1}")
    db.commit()
    db.close()
    before = h.database.read_bytes()
    text = refused(h, "herald.db", "newer")
    assert str(version + 1) in text and str(version) in text
    assert h.database.read_bytes() == before
    db = sqlite3.connect(h.database)
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()
    h.start()
    assert h.stats()["pending"] == 3


# --- neighbours -------------------------------------------------------------------------------------------


def test_port_in_use(herald, sink):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        h = herald(SERVER_PORT=port, WEBHOOK_URL=sink().url, start=False)
        refused(h, str(port), "in use")


def test_port_in_use_by_another_herald(herald, sink):
    """Listeners that share their port among threads must not share it with another process."""
    s = sink()
    one = herald(WEBHOOK_URL=s.url)
    two = herald(SERVER_PORT=one.port, WEBHOOK_URL=s.url, start=False)
    refused(two, str(one.port), "in use")
    one.wait_status(one.create(), "sent")


def test_second_process_on_the_same_file(herald, sink):
    s = sink(lambda r: reply(delay=0.02))
    one = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=4)
    one.create_many(200)
    two = herald(WEBHOOK_URL=s.url, DATABASE_URL=f"sqlite:{one.database}", start=False)
    refused(two, "herald.db", "in use")
    one.wait_stats(sent=200)
    assert len(s.requests) == 200
    # A process that was killed does not lock anybody out.
    one.kill()
    two.start()
    assert two.stats()["sent"] == 200


def test_the_file_by_another_name_is_the_same_file(herald, sink):
    s = sink()
    one = herald(WEBHOOK_URL=s.url)
    two = herald(WEBHOOK_URL=s.url, start=False)
    link = two.dir / "other.db"
    link.symlink_to(one.database)
    two.env["DATABASE_URL"] = f"sqlite:{link}"
    refused(two, "in use")


def test_database_that_is_replaced_or_removed_does_not_end_the_process(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url)
    h.wait_status(h.create(), "sent")
    shutil.move(h.database, h.dir / "moved.db")
    assert h.api.get("/livez").status == 200
    assert h.process.poll() is None


# --- poison -------------------------------------------------------------------------------------------------


def test_a_message_whose_claims_never_end_is_given_up(herald, sink):
    s = sink(lambda r: hang if r.json["content"] == "poison" else reply())
    h = herald(WEBHOOK_URL=s.url, MAX_LOST_CLAIMS=2, MAX_ATTEMPTS=50, RETRY_BACKOFF="10ms", WEBHOOK_TIMEOUT_SECONDS=300)
    m = h.create("poison")
    for n in (1, 2):
        s.wait(n)
        h.kill()
        h.start()
    m = h.wait_status(m, "failed")
    assert m["lastError"] and len(s.requests) == 2
    h.wait_status(h.create("good"), "sent")
