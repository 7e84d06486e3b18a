"""The command line against a real server, and against one that misbehaves."""
import csv
import io
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import herald as h

STOPPED = {"AUTO_START_SCHEDULER": "false"}
COMMANDS = ("serve send list get explain attempts import export replay cancel stats start stop status health runs jobs "
            "run nodes seed sink migrate adopt move config openapi completion manual version help").split()


def cli(*arguments, cwd="/", **env):
    """A command that needs no server, in an environment of its own."""
    return subprocess.run([h.BIN, *map(str, arguments)], env=h.environment(**env), cwd=cwd, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60 * h.SLOW)


def ok(done, code=0):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


class Api:
    """A scripted server. answer(n, path, headers, body) for the n-th request gives (status, headers, JSON) or
    None, which cuts the connection. Keeps the requests as (path, headers, body)."""

    def __init__(self, answer):
        self.answer, self.requests = answer, []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.converse(connection)
        except OSError:
            pass  # the client went away

    def converse(self, connection):
        reader = connection.makefile("rb")
        with connection:
            while line := reader.readline():
                headers = {}
                while (row := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = row.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = reader.read(int(headers.get("content-length", 0)))
                path = line.decode().split()[1]
                with self.lock:
                    n = len(self.requests)
                    self.requests.append((path, headers, body))
                said = self.answer(n, path, headers, body)
                if said is None:
                    return
                status, more, value = said
                text = value if isinstance(value, bytes) else json.dumps(value).encode()
                head = {"Content-Type": "application/json", "Content-Length": len(text), **more}
                connection.sendall(f"HTTP/1.1 {status} X\r\n".encode() + b"".join(
                    f"{k}: {v}\r\n".encode() for k, v in head.items()) + b"\r\n" + text)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


@pytest.fixture
def api():
    made = []

    def make(answer):
        made.append(Api(answer))
        return made[-1]
    yield make
    for one in made:
        one.close()


def created(body):
    n = len(body.splitlines())
    return 201, {}, {"success": True, "data": {"created": n, "repeated": 0}}


def write_csv(path, rows, header="phoneNumber,content"):
    path.write_text(header + "\n" + "".join(r + "\n" for r in rows))
    return path


def numbered(n, start=0):
    return [f"+90555{i:07d},message {i}" for i in range(start, start + n)]


# --- help and usage


def test_help():
    done = cli()
    assert done.returncode == 2 and "usage: herald COMMAND" in done.stderr and not done.stdout
    for arguments in (["help"], ["--help"], ["-h"]):
        text = ok(cli(*arguments)).stdout
        assert re.findall(r"^  (\w+) +\S", text, re.M) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    text = ok(cli("help", command)).stdout
    assert text.startswith(f"usage: herald {command}")
    assert ("--json" in text) == (command != "serve") and len(text.splitlines()) > 5
    assert ok(cli(command, "--help")).stdout == text
    # Help needs no valid configuration.
    assert ok(cli(command, "-h", SERVER_PORT="none")).stdout == text
    for line in text.splitlines():
        assert len(line) <= 100 or command == "serve", line


@pytest.mark.parametrize("arguments, text", [
    (["sned"], 'no command is called "sned"; did you mean `herald send`?'),
    (["xyzzy"], 'no command is called "xyzzy"'),
    (["--json", "list"], "the command comes before its flags"),
    (["help", "xyzzy"], 'no command is called "xyzzy"'),
    (["list", "--limti", "3"], "--limti: unknown flag; did you mean --limit?"),
    (["version", "--jsno"], "unknown flag --jsno; did you mean --json?"),
    (["list", "extra"], "usage: herald list"),
    (["get"], "usage: herald get ID"),
    (["get", "x"], '"x" is not a message id'),
    (["get", "0"], '"0" is not a message id'),
    (["list", "--limit", "0"], "--limit: must be a whole number from 1 to 10000"),
    (["list", "--limit"], "--limit"),
    (["list", "--limit", "2", "--limit", "3"], "--limit is given twice"),
    (["list", "-x"], "unknown flag -x"),
    (["import", "f", "--skip-bad=yes"], "skip-bad"),
    (["import", "/dev/null", "--format", "xml"], "--format: must be csv or ndjson"),
    (["import", "/dev/null", "--key-prefix", "a b"], "--key-prefix: must be 1 to 227 visible ASCII"),
    (["export", "--format", "xml"], "--format: must be csv or ndjson"),
    (["replay"], "either one message id or --all"),
    (["replay", "1", "--all"], "either one message id or --all"),
    (["start", "--interval", "soon"], "--interval: must be a duration"),
    (["start", "--failure-rate", "2"], "--failure-rate: must be a number from 0 to 1"),
    (["send", "+905551234567", "x", "--metadata", "[]"], "--metadata: must be a JSON object"),
    (["send", "+905551234567", "x", "--timeout", "soon"], "--timeout: must be a duration"),
    (["config", "prnt"], '"prnt" is none of print, check, sample and docs'),
    (["sink", "--port", "70000"], "--port: must be a whole number from 0 to 65535"),
    (["sink", "--latency", "long"], "--latency: must be a duration"),
])
def test_wrong_usage(arguments, text):
    done = cli(*arguments)
    assert done.returncode == 2, done
    assert text in done.stderr and not done.stdout


def test_wrong_configuration():
    done = cli("list", SERVER_PORT="70000")
    assert done.returncode == 2
    assert "SERVER_PORT" in done.stderr and "65535" in done.stderr


def test_no_server():
    port = h.free_port()
    done = cli("stats", SERVER_PORT=port)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == (f"herald stats: no herald at http://127.0.0.1:{port}: start it with `herald serve`, "
                           "or name it with --url\n")


def test_something_else_there(api):
    a = api(lambda *_: (200, {}, b"<html>"))
    assert "the answer is not JSON" in ok(cli("stats", "--url", a.url), 1).stderr
    a = api(lambda *_: (500, {}, b"<html>"))
    assert "500 the answer is none of herald's" in ok(cli("stats", "--url", a.url), 1).stderr
    a = api(lambda *_: None)
    assert "failed before an answer came" in ok(cli("stats", "--url", a.url), 1).stderr
    # What a server says cannot repaint the terminal.
    a = api(lambda *_: (400, {}, {"success": False, "error": "\x1b[2Joops"}))
    assert "\x1b" not in ok(cli("stats", "--url", a.url), 1).stderr


def test_key_of_each_group(api):
    a = api(lambda *_: (200, {}, {"success": True, "data": {}}))
    env = {"MESSAGES_API_KEY": "messages1,messages2", "SCHEDULER_API_KEY": "scheduler1"}
    ok(cli("stats", "--url", a.url, **env))
    ok(cli("status", "--url", a.url, **env))
    ok(cli("status", "--url", a.url + "/", "--api-key", "other-key", **env))
    ok(cli("stats", HERALD_URL=a.url))
    keys = [headers.get("x-ins-auth-key") for _, headers, _ in a.requests]
    assert keys == ["messages1", "scheduler1", "other-key", None]
    assert a.requests[2][0] == "/api/v1/scheduler/status"


def test_health(herald, api):
    one = herald(**STOPPED)
    one.env.update(MESSAGES_API_KEY=None, SCHEDULER_API_KEY=None)  # of the client: none is needed
    lines = ok(one.run("health")).stdout.splitlines()
    assert [line.split() for line in lines] == [["status", "ok"], ["database", "up"], ["redis", "disabled"]]
    assert json.loads(ok(one.run("health", "--json")).stdout)["status"] == "ok"
    one.stop()
    assert "health" in ok(one.run("health"), 1).stderr

    def say(status, code, database="up", redis="up"):
        return api(lambda *_: (code, {}, {"status": status, "components": {
            "database": {"status": database}, "redis": {"status": redis}}})).url
    degraded = ok(cli("health", "--url", say("degraded", 200, redis="down")))
    assert degraded.stdout.split() == ["status", "degraded", "database", "up", "redis", "down"]
    down = ok(cli("health", "--url", say("down", 503, database="down")), 1)
    assert down.stdout.split() == ["status", "down", "database", "down", "redis", "up"]
    assert json.loads(ok(cli("health", "--json", "--url", say("down", 503)), 1).stdout)["status"] == "down"
    other = api(lambda *_: (200, {}, {"status": "green"}))
    assert "not the answer of herald" in ok(cli("health", "--url", other.url), 1).stderr


def test_output_lost(herald):
    one = herald(**STOPPED)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([h.BIN, "stats"], env=h.environment(**one.env), cwd=one.dir, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "cannot write to standard output" in done.stderr


# --- messages


def test_send_and_look(herald):
    one = herald(**STOPPED)
    m = json.loads(ok(one.run("send", h.PHONE, "hello", "--json", "--at", "2040-01-02T03:04:05Z",
                              "--idempotency-key", "k1", "--metadata", '{"a": [1]}')).stdout)
    assert m == one.get(m)
    assert (m["content"], m["sendAt"], m["metadata"]) == ("hello", "2040-01-02T03:04:05.000Z", {"a": [1]})
    again = json.loads(ok(one.run("send", h.PHONE, "hello", "--json", "--at", "2040-01-02T03:04:05Z",
                                  "--idempotency-key", "k1", "--metadata", '{"a": [1]}')).stdout)
    assert again["id"] == m["id"]
    assert "idempotency key" in ok(one.run("send", h.PHONE, "other", "--idempotency-key", "k1"), 1).stderr

    text = ok(one.run("send", h.PHONE, "-", input="two\nlines\n")).stdout
    assert re.search(r"^content +two lines$", text, re.M) and re.search(r"^status +pending$", text, re.M)
    two = json.loads(ok(one.run("get", m["id"] + 1, "--json")).stdout)
    assert two["content"] == "two\nlines"
    ok(one.run("send", h.PHONE, "--", "--dashes"))
    assert one.get(m["id"] + 2)["content"] == "--dashes"

    done = ok(one.run("send", "0555", ""), 1)
    assert "422 Validation failed" in done.stderr and "phoneNumber: " in done.stderr
    assert "content: " in done.stderr and len(done.stderr.splitlines()) == 1
    assert "404" in ok(one.run("get", 999), 1).stderr
    assert "401" in ok(one.run("get", 1, "--api-key", "wrong-key"), 1).stderr

    assert re.search(r"^status +cancelled$", ok(one.run("cancel", two["id"])).stdout, re.M)
    assert "409" in ok(one.run("cancel", two["id"]), 1).stderr
    stats = ok(one.run("stats")).stdout.split()
    assert dict(zip(stats[::2], map(int, stats[1::2]))) == one.stats()
    assert json.loads(ok(one.run("stats", "--json")).stdout) == one.stats()


def test_send_and_wait(herald, sink):
    one = herald(WEBHOOK_URL=sink(lambda r: h.reply(200 if r.json["content"] == "good" else 400)).url)
    done = ok(one.run("send", h.PHONE, "good", "--wait", "--json"))
    assert json.loads(done.stdout)["status"] == "sent"
    done = ok(one.run("send", h.PHONE, "bad", "--wait", "--json"), 1)
    message = json.loads(done.stdout)
    assert message["status"] == "failed"
    text = ok(one.run("attempts", message["id"])).stdout
    assert text.splitlines()[0].split() == ["TRY", "STARTED", "MS", "STATUS", "HTTP", "RUN", "NODE", "ERROR"]
    assert " failed " in text and " 400 " in text
    assert json.loads(ok(one.run("attempts", message["id"], "--json")).stdout) == one.attempts(message)
    ok(one.run("stop"))
    assert ok(one.run("replay", message["id"])).stdout == "replayed 1\n"
    assert "404" in ok(one.run("replay", message["id"]), 1).stderr
    assert ok(one.run("replay", "--all")).stdout == "replayed 0\n"
    done = ok(one.run("send", h.PHONE, "x", "--wait", "--timeout", "200ms"), 1)
    assert "has not ended yet" in done.stderr


def test_list(herald):
    one = herald(**STOPPED)
    ids = one.create_many(250)
    other = one.create("escape \x1b[2J", phone="+4930123456")
    text = ok(one.run("list", "--limit", 3))
    lines = text.stdout.splitlines()
    assert lines[0].split() == ["ID", "PHONE", "STATUS", "TRIES", "CREATED", "SENT", "CONTENT"]
    assert [int(line.split()[0]) for line in lines[1:]] == [other["id"], ids[-1], ids[-2]]
    assert "\x1b" not in text.stdout
    cursor = re.fullmatch(r"more follow: --cursor (\S+)\n", text.stderr).group(1)
    rest = ok(one.run("list", "--limit", 1000, "--cursor", cursor, "--json"))
    assert [m["id"] for m in json.loads(rest.stdout)] == ids[-3::-1]
    assert rest.stderr == ""
    assert [m["id"] for m in json.loads(ok(one.run("list", "--phone", "+4930123456", "--json")).stdout)] \
        == [other["id"]]
    assert json.loads(ok(one.run("list", "--status", "sent", "--json")).stdout) == []
    assert "status: must be" in ok(one.run("list", "--status", "gone"), 1).stderr


def test_scheduler(herald, sink):
    one = herald(WEBHOOK_URL=sink().url, MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE="1", **STOPPED)
    ids = one.create_many(3)
    assert json.loads(ok(one.run("status", "--json")).stdout)["running"] is False
    assert re.search(r"^backlog +3$", ok(one.run("status")).stdout, re.M)
    assert json.loads(ok(one.run("run", "--json")).stdout)["claimed"] == 1
    one.wait_status(ids[0], "sent")
    done = ok(one.run("run"), 1)
    assert "409" in done.stderr and "nextRunAt: 20" in done.stderr
    state = json.loads(ok(one.run("start", "--interval", "500ms", "--batch-size", 2, "--json")).stdout)
    assert (state["running"], state["interval"], state["batchSize"]) == (True, "500ms", 2)
    one.wait_stats(sent=3)
    assert json.loads(ok(one.run("stop", "--json")).stdout)["running"] is False
    runs = ok(one.run("runs", "--limit", 100)).stdout.splitlines()
    assert runs[0].split()[:3] == ["RUN", "STARTED", "CLAIMED"]
    claimed = [int(line.split()[2]) for line in runs[1:]]
    assert sum(claimed) == 3 and claimed[-1] == 1
    assert len(json.loads(ok(one.run("runs", "--json")).stdout)) == min(20, len(claimed))


def test_seed(herald):
    one = herald(**STOPPED)
    assert ok(one.run("seed")).stdout == "created 10 messages\n"
    assert json.loads(ok(one.run("seed", "--count", 2500, "--batch", 1000, "--json")).stdout) == {"created": 2500}
    assert one.stats()["pending"] == 2510
    stored = json.loads(ok(one.run("list", "--limit", 2500, "--json")).stdout)
    assert {m["content"] for m in stored} == {f"This is message number {i}" for i in range(1, 2501)}
    assert all(re.fullmatch(r"\+905\d{9}", m["phoneNumber"]) for m in stored)


# --- import


def test_import_csv_twice(herald, tmp_path):
    one = herald(**STOPPED)
    rows = numbered(12000)
    f = write_csv(tmp_path / "customers.csv", rows)
    done = ok(one.run("import", f, "--json"))
    counts = json.loads(done.stdout)
    assert (counts["rows"], counts["created"], counts["repeated"], counts["skipped"]) == (12000, 12000, 0, 0)
    assert one.stats()["pending"] == 12000
    stored = map(json.loads, ok(one.run("export", "--format", "ndjson", "--quiet")).stdout.splitlines())
    keys = {m["content"]: m["idempotencyKey"] for m in stored}
    assert keys.keys() == {f"message {i}" for i in range(12000)}
    assert re.fullmatch(r"customers\.csv:0000002ee1:[0-9a-f]{16}", keys["message 11999"])

    # Again, with one row corrected in its place and one more: these two alone are new.
    rows[7] = "+905550000007,corrected"
    f = write_csv(f, rows + ["+905559999999,one more"])
    text = ok(one.run("import", f)).stdout
    assert text.startswith("imported 2 rows; 11,999 were there already (")
    assert one.stats()["pending"] == 12002
    # Under another name they are other messages, unless the old name is given.
    other = write_csv(tmp_path / "others.csv", rows[:5])
    assert json.loads(ok(one.run("import", other, "--json", "--key-prefix", "customers.csv")).stdout)["created"] == 0
    assert json.loads(ok(one.run("import", other, "--json")).stdout)["created"] == 5


def test_import_all_columns(herald, tmp_path):
    one = herald(**STOPPED)
    f = tmp_path / "all.csv"
    f.write_bytes(b"\xef\xbb\xbfMessage;To;send_at;Idempotency-Key;metadata;status\r\n"
                  b'"say ""hi"";\nthere";+905551234567;2040-01-01T00:00:00Z;mine;"{""a"":1}";sent\r\n'
                  + "ü😀;+4930123;;;;\r\n".encode())
    ok(one.run("import", f))
    second, first = json.loads(ok(one.run("list", "--json")).stdout)
    assert (first["content"], first["sendAt"], first["idempotencyKey"], first["metadata"], first["status"]) == \
        ('say "hi";\nthere', "2040-01-01T00:00:00.000Z", "mine", {"a": 1}, "pending")
    assert second["content"] == "ü😀" and "sendAt" not in second and "metadata" not in second


def test_import_ndjson_and_stdin(herald, tmp_path):
    one = herald(**STOPPED)
    lines = "".join(json.dumps({"phoneNumber": h.PHONE, "content": f"line {i}\n\"é\"", "metadata": {"n": i}}) + "\n"
                    for i in range(3))
    f = tmp_path / "rows"  # nothing in the name says what it is
    f.write_text(lines)
    assert json.loads(ok(one.run("import", f, "--json")).stdout)["created"] == 3
    assert json.loads(ok(one.run("import", "-", "--json", input=lines)).stdout)["created"] == 3
    assert json.loads(ok(one.run("import", "-", "--json", input=lines)).stdout)["repeated"] == 3
    m = json.loads(ok(one.run("list", "--limit", 1, "--json")).stdout)[0]
    assert m["content"] == "line 2\n\"é\"" and m["metadata"] == {"n": 2}
    assert m["idempotencyKey"].startswith("stdin:0000000003:")
    done = ok(one.run("import", "-", "--json", input="to,text\n+4930123,x\n", TMPDIR=tmp_path))
    assert json.loads(done.stdout)["created"] == 1


def test_import_bad_rows(herald, tmp_path):
    one = herald(**STOPPED)
    f = write_csv(tmp_path / "bad.csv", ["+905551234567,good", "0555,\x1b[2Jx", "+905551234567,", '+905551234567,a"b',
                                         "+905551234567," + "x" * 1001, *["x,y"] * 40, "+905551234567,last"])
    errors = tmp_path / "errors.txt"
    done = ok(one.run("import", f, "--errors", errors), 1)
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f'{f}:3: phoneNumber: "0555" is not an E.164 number')
    assert lines[1] == f"{f}:4: content: is missing"
    assert lines[2] == f"{f}:5: a quote inside an unquoted field"
    assert lines[3] == f"{f}:6: content: has 1001 characters, the maximum is 1000"
    assert len(lines) == 22 and lines[20] == f"{f}: and 24 more bad rows"
    assert lines[21].endswith("nothing was imported: 44 of 46 rows are bad; --skip-bad imports the others")
    written = errors.read_text().splitlines()
    assert len(written) == 44 and written[1] == "4: content: is missing" and written[-1].startswith("46: ")
    assert one.stats()["total"] == 0

    done = ok(one.run("import", f, "--dry-run"), 1)
    assert done.stdout == "2 good rows, 44 bad ones; nothing was imported\n"
    assert "--errors FILE writes all" in done.stderr
    counts = json.loads(ok(one.run("import", f, "--skip-bad", "--json")).stdout)
    assert (counts["rows"], counts["created"], counts["skipped"]) == (46, 2, 44)
    # Once they are corrected, the file adds what was left out and no more.
    write_csv(f, ["+905551234567,good", "+905551234567,now good", *numbered(43), "+905551234567,last"])
    counts = json.loads(ok(one.run("import", f, "--json")).stdout)
    assert (counts["created"], counts["repeated"]) == (44, 2)


@pytest.mark.parametrize("content, text", [
    (b"", "the file is empty"),
    (b"phone\n+4930123\n", "line 1: the header has no column content"),
    (b"phone,text,colour\n", 'line 1: unknown column "colour"'),
    (b"phone,text,to\n", "line 1: two columns mean phoneNumber"),
])
def test_import_unusable_files(tmp_path, content, text):
    f = tmp_path / "f.csv"
    f.write_bytes(content)
    done = ok(cli("import", f, HERALD_URL="http://127.0.0.1:1"), 1)
    assert text in done.stderr and str(f) in done.stderr


def test_import_unusable_paths(tmp_path):
    assert "No such file" in ok(cli("import", tmp_path / "none.csv"), 1).stderr
    f = write_csv(tmp_path / "f.csv", numbered(3))
    assert "no herald at" in ok(cli("import", f, SERVER_PORT=h.free_port()), 1).stderr
    assert "--errors" in ok(cli("import", f, "--errors", tmp_path / "no" / "dir"), 1).stderr
    assert ok(cli("import", f, "--dry-run", SERVER_PORT=h.free_port())).stdout.startswith("3 good rows, 0 bad")


def test_import_ignore_columns(herald, tmp_path):
    one = herald(**STOPPED)
    f = write_csv(tmp_path / "f.csv", ["red,+4930123,x"], "colour,phone,text")
    assert json.loads(ok(one.run("import", f, "--ignore-columns", "--json")).stdout)["created"] == 1


def test_import_key_in_use(herald, tmp_path):
    """What only the server can know: a key that names another message."""
    one = herald(**STOPPED)
    one.create("taken", idempotencyKey="k2")
    f = write_csv(tmp_path / "f.csv", ["+4930123,a,k1", "+4930123,b,k2", "+4930123,c,k3"], "phone,text,key")
    done = ok(one.run("import", f), 1)
    assert f"{f}:3: " in done.stderr and "stopped after 0 of 3 rows" in done.stderr
    assert one.stats()["total"] == 1
    done = ok(one.run("import", f, "--skip-bad", "--json"))
    counts = json.loads(done.stdout)
    assert (counts["created"], counts["skipped"]) == (2, 1)
    assert f"{f}:3: " in done.stderr


def test_import_of_a_changing_file(api, tmp_path):
    f = write_csv(tmp_path / "f.csv", numbered(100000))

    def answer(_n, _path, _headers, body):
        with open(f, "r+b") as same:
            same.truncate(3000000)  # about two thirds, and half a row: checked, but no longer there
        return created(body)
    done = ok(cli("import", f, "--batch", 1000, HERALD_URL=api(answer).url), 1)
    assert "the file was changed while it was being read" in done.stderr


def test_import_waits_for_a_busy_server(api, tmp_path):
    def answer(n, _path, _headers, body):
        if n == 0:
            return 503, {"Retry-After": "1"}, {"success": False, "error": "Too busy, try again", "code": 503001}
        return created(body)
    a = api(answer)
    f = write_csv(tmp_path / "f.csv", numbered(10))
    start = time.monotonic()
    done = ok(cli("import", f, "--json", "--batch", 10, HERALD_URL=a.url))
    assert json.loads(done.stdout)["created"] == 10
    assert "503 Too busy, try again; trying again in 1s" in done.stderr
    assert time.monotonic() - start >= 1
    assert a.requests[0][2] == a.requests[1][2] and len(a.requests) == 2
    path, headers, body = a.requests[0]
    assert path == "/api/v1/messages/batch" and headers["prefer"] == "return=minimal"
    assert headers["content-type"] == "application/x-ndjson" and "expect" not in headers
    assert [json.loads(line)["content"] for line in body.splitlines()] == [f"message {i}" for i in range(10)]


def test_import_repeats_what_got_no_answer(api, tmp_path):
    """A connection cut in the middle: the batch goes out again under the same keys (by the HTTP library
    itself when the connection had been used before, else with a notice)."""
    a = api(lambda n, _path, _headers, body: None if n == 1 else created(body))
    f = write_csv(tmp_path / "f.csv", numbered(4))
    done = ok(cli("import", f, "--json", "--batch", 1, HERALD_URL=a.url))
    assert json.loads(done.stdout)["created"] == 4
    bodies = [body for _, _, body in a.requests]
    assert len(bodies) == 5 and len(set(bodies)) == 4 and bodies.count(bodies[1]) == 2


def test_import_gives_up(api, tmp_path):
    """What cuts every connection is no herald."""
    a = api(lambda *_: None)
    done = ok(cli("import", write_csv(tmp_path / "f.csv", numbered(4)), HERALD_URL=a.url), 1)
    assert "the connection failed before an answer came" in done.stderr
    assert done.stderr.count("trying again in 1s") == 1  # one line, not one for each
    assert len(a.requests) == 4 and len({body for _, _, body in a.requests}) == 1


@pytest.mark.parametrize("late", ["message 0", "message 9", None])
def test_import_server_refuses_rows(api, tmp_path, late):
    """The server's limits may be narrower than this side's. Whichever answer comes first: the first batch is
    always waited for."""
    def answer(_n, _path, _headers, body):
        rows = [json.loads(line)["content"] for line in body.splitlines()]
        if late in rows:
            time.sleep(0.5)
        bad = {f"{i}.content": "too long for me" for i, c in enumerate(rows) if c in ("message 3", "message 8")}
        if bad:
            return 422, {}, {"success": False, "error": "Validation failed", "code": 422001, "details": bad}
        return created(body)
    f = write_csv(tmp_path / "f.csv", numbered(10))
    a = api(answer)
    done = ok(cli("import", f, "--batch", 4, HERALD_URL=a.url), 1)
    assert f"{f}:5: content: too long for me" in done.stderr
    assert "run the same command again with the rows corrected, or with --skip-bad," in done.stderr
    a = api(answer)
    errors = tmp_path / "errors"
    done = ok(cli("import", f, "--batch", 4, "--skip-bad", "--json", "--errors", errors, HERALD_URL=a.url))
    counts = json.loads(done.stdout)
    assert (counts["rows"], counts["created"], counts["skipped"]) == (10, 8, 2)
    assert sorted(errors.read_text().splitlines()) == ["10: content: too long for me", "5: content: too long for me"]
    stored = [json.loads(line)["content"] for _, _, body in a.requests for line in body.splitlines()]
    assert stored.count("message 2") == 2 and stored.count("message 3") == 1 and stored.count("message 0") >= 1


def test_import_refused_as_a_whole(api, tmp_path):
    a = api(lambda *_: (401, {}, {"success": False, "error": "Invalid or missing API key"}))
    done = ok(cli("import", write_csv(tmp_path / "f.csv", numbered(3)), "--skip-bad", HERALD_URL=a.url), 1)
    assert "401 Invalid or missing API key (name the key with --api-key or HERALD_API_KEY)" in done.stderr
    assert "corrected" not in done.stderr
    a = api(lambda *_: (413, {}, {"success": False, "error": "The body is too large", "details": {"limit": 1024}}))
    done = ok(cli("import", tmp_path / "f.csv", HERALD_URL=a.url), 1)
    assert "413 The body is too large: limit: 1024 (--batch N makes smaller requests)" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_import_interrupted(api, tmp_path, number):
    arrived = threading.Event()

    def answer(n, _path, _headers, body):
        if n >= 2:
            arrived.set()
            time.sleep(60)
        return created(body)
    a = api(answer)
    f = write_csv(tmp_path / "f.csv", numbered(10))
    p = subprocess.Popen([h.BIN, "import", f, "--batch", "1"], env=h.environment(HERALD_URL=a.url), cwd=tmp_path,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(30)
    p.send_signal(number)
    _, err = p.communicate(timeout=30)
    assert p.returncode == 1
    assert "interrupted" in err and "of 10 rows; run the same command again to go on" in err


def test_import_killed_and_repeated(herald, tmp_path):
    """However often it is killed, running it once more to the end leaves each row there once."""
    one = herald(**STOPPED)
    f = write_csv(tmp_path / "f.csv", numbered(30000))
    for delay in (0.02, 0.05, 0.1):
        p = subprocess.Popen([h.BIN, "import", f, "--batch", "500"], env=h.environment(**one.env), cwd=one.dir,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        p.kill()
        p.wait()
    ok(one.run("import", f))
    assert one.stats()["total"] == 30000
    assert one.stats()["pending"] == 30000


def test_import_over_a_crash_of_the_server(herald, tmp_path):
    """The server dies under an import and comes back: the import goes on, each row is there once."""
    one = herald(**STOPPED)
    f = write_csv(tmp_path / "f.csv", numbered(60000))
    p = subprocess.Popen([h.BIN, "import", f, "--batch", "50", "--json"], env=h.environment(**one.env), cwd=one.dir,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Two batches are under way at most: with the third here, the import has had an answer, and knows it is a herald.
    h.eventually(lambda: one.stats()["total"] >= 3 * 50, what="the first rows")
    one.kill()
    assert p.poll() is None
    one.start()
    out, err = p.communicate(timeout=180 * h.SLOW)
    assert p.returncode == 0, err
    assert "trying again in" in err
    assert json.loads(out)["rows"] == 60000
    assert one.stats()["total"] == 60000


def on_terminal(arguments, env, cwd):
    """Runs with a terminal as standard error; what it showed there, and the exit code."""
    master, slave = pty.openpty()
    p = subprocess.Popen([h.BIN, *map(str, arguments)], env=h.environment(**env), cwd=cwd, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    return shown.decode(), p.wait(60)


def test_import_progress(api, tmp_path):
    def answer(_n, _path, _headers, body):
        time.sleep(0.15)
        return created(body)
    a = api(answer)
    f = write_csv(tmp_path / "f.csv", numbered(10))
    env = {"HERALD_URL": a.url}
    shown, code = on_terminal(["import", f, "--batch", 1], env, tmp_path)
    assert code == 0
    assert re.search(r"\rimporting +\d+% \[#*-*\] \d+ / 10 rows", shown), shown
    assert shown.endswith("\r\x1b[K"), shown  # the bar is gone at the end
    shown, code = on_terminal(["import", f, "--batch", 1, "--quiet"], env, tmp_path)
    assert (shown, code) == ("", 0)
    # No terminal: a short job leaves no line.
    assert ok(cli("import", f, "--batch", 5, **env)).stderr == ""


# --- export


def test_export_and_import_again(herald, sink, tmp_path):
    source = herald(WEBHOOK_URL=sink().url)
    sent = source.create('comma, "quote"\nand line', metadata={"a": "ü"}, idempotencyKey="k")
    source.wait_status(sent, "sent")
    ok(source.run("stop"))
    source.create_many(230)
    odd = source.create(" spaces ", sendAt="2040-01-01T00:00:00Z")

    done = ok(source.run("export"))
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert list(rows[0]) == ("id phoneNumber content status attempts messageId sentAt sendAt lastError idempotencyKey "
                             "metadata createdAt updatedAt").split()
    assert [int(r["id"]) for r in rows] == list(range(odd["id"], 0, -1))
    m = source.get(sent)
    assert rows[-1] == {**{k: "" for k in rows[0]}, **{k: str(m[k]) for k in rows[0] if k in m},
                        "metadata": '{"a":"ü"}'}
    assert rows[0]["content"] == " spaces " and rows[0]["sendAt"] == "2040-01-01T00:00:00.000Z"

    f = source.dir / "all.ndjson"
    assert ok(source.run("export", "-o", f)).stdout == f"exported 232 messages to {f}\n"
    lines = [json.loads(line) for line in f.read_text().splitlines()]
    assert lines[-1] == m and len(lines) == 232
    assert not (source.dir / "all.ndjson.part").exists()
    done = ok(source.run("export", "--format", "ndjson", "--status", "sent"))
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [sent["id"]]
    assert ok(source.run("export", "--status", "failed")).stdout.count("\n") == 1

    target = herald(**STOPPED)
    f = tmp_path / "all.csv"
    ok(source.run("export", "--output", f))
    for name in (f, source.dir / "all.ndjson"):
        before = target.stats()["total"]
        ok(target.run("import", name))
        assert target.stats()["total"] - before in (231, 232)  # the row with a key of its own is there once
    same = [x for x in json.loads(ok(target.run("list", "--limit", 1000, "--json")).stdout)
            if x.get("idempotencyKey") == "k"]
    assert len(same) == 1 and same[0]["content"] == sent["content"] and same[0]["metadata"] == {"a": "ü"}


def test_export_failures(api, herald, tmp_path):
    def answer(n, *_):
        if n == 0:
            return 200, {}, {"success": True, "data": [{"id": 2}], "totalCount": 2, "nextCursor": "c"}
        return 500, {}, {"success": False, "error": "Internal error"}
    a = api(answer)
    f = tmp_path / "out.csv"
    f.write_text("old")
    done = ok(cli("export", "-o", f, HERALD_URL=a.url), 1)
    assert "500 Internal error" in done.stderr
    # The old file is untouched, and no half one lies beside it.
    assert f.read_text() == "old" and [p.name for p in tmp_path.glob("out*")] == ["out.csv"]
    assert "No such file" in ok(cli("export", "-o", tmp_path / "no" / "x", HERALD_URL=a.url), 1).stderr


# --- without a server


def test_migrate(tmp_path):
    env = {"DATABASE_URL": f"sqlite:{tmp_path}/m.db"}
    first = ok(cli("migrate", cwd=tmp_path, **env)).stdout
    assert re.search(r"schema created \(version \d+\)", first)
    assert re.search(r"schema is current \(version \d+\)", ok(cli("migrate", cwd=tmp_path, **env)).stdout)
    assert json.loads(ok(cli("migrate", "--json", cwd=tmp_path, **env)).stdout)["found"] >= 1
    (tmp_path / "no.db").write_text("this is no database, and long enough to be looked at " * 100)
    done = cli("migrate", cwd=tmp_path, DATABASE_URL=f"sqlite:{tmp_path}/no.db")
    assert done.returncode == 2 and "no.db" in done.stderr


def test_config(tmp_path):
    env = {"WEBHOOK_URL": "http://127.0.0.1:1/", "MESSAGES_API_KEY": "very-secret-key", "SERVER_PORT": "9"}
    text = ok(cli("config", "print", cwd=tmp_path, **env)).stdout
    assert "very-secret-key" not in text
    assert re.search(r"^SERVER_PORT +9 +env SERVER_PORT$", text, re.M)
    values = json.loads(ok(cli("config", "print", "--json", "--port", "10", cwd=tmp_path, **env)).stdout)
    assert values["SERVER_PORT"]["origin"].startswith("flag")
    assert "very-secret-key" not in json.dumps(values)
    assert "valid" in ok(cli("config", "check", cwd=tmp_path, **env)).stdout
    done = cli("config", "check", cwd=tmp_path)
    assert done.returncode == 2 and "WEBHOOK_URL" in done.stderr and not done.stdout
    assert cli("serve", cwd=tmp_path).returncode == 2
    assert "SERVER_PORT" in ok(cli("config", "docs", cwd=tmp_path)).stdout
    sample = tmp_path / "sample.yaml"
    sample.write_text(ok(cli("config", "sample", cwd=tmp_path)).stdout)
    ok(cli("config", "print", "--config", sample, cwd=tmp_path))


def test_openapi(herald):
    own = json.loads(ok(cli("openapi")).stdout)
    assert own["openapi"].startswith("3.1") and "/api/v1/messages/batch" in own["paths"]
    one = herald(**STOPPED)
    assert json.loads(ok(one.run("openapi", "--url", one.url)).stdout) == own


def test_version():
    text = ok(cli("version")).stdout
    assert re.fullmatch(r"herald \d+\.\d+\.\d+\n", text)
    assert ok(cli("--version")).stdout == text
    assert json.loads(ok(cli("version", "--json")).stdout)["herald"] == text.split()[1]
    assert ok(cli("version", SERVER_PORT="none")).stdout == text  # whatever the configuration


def test_sink(herald, tmp_path):
    ledger = tmp_path / "ledger"
    p = subprocess.Popen([h.BIN, "sink", "--port", "0", "--json", "--ledger", ledger, "--verbose"],
                         env=h.environment(SERVER_PORT="none"), stdout=subprocess.PIPE, text=True)
    try:
        started = json.loads(p.stdout.readline())
        one = herald(WEBHOOK_URL=started["url"])
        m = one.create("to the sink")
        assert one.wait_status(m, "sent")["messageId"]
        lines = [json.loads(line) for line in ledger.read_text().splitlines()]
        assert [(x["to"], x["content"]) for x in lines] == [(h.PHONE, "to the sink")]
        taken = ok(cli("sink", "--port", started["port"]), 2)
        assert str(started["port"]) in taken.stderr
    finally:
        p.terminate()
        out, _ = p.communicate(timeout=20)
    assert p.returncode == 0 and h.PHONE in out


def test_libmongoc_leaves_others_alone(herald):
    """Loaded with every herald, it would share its counters in a file, also where there is no MongoDB."""
    one = herald()
    maps = (pathlib.Path("/proc") / str(one.process.pid) / "maps").read_text()
    if "libmongoc" not in maps:
        pytest.skip("this build has no MongoDB")
    assert "/dev/shm/" not in maps
