"""Every command block of the README and the guides, run as it stands.

A page is one shell session, in an empty folder and a network of its own, so that ports are free and nothing reaches
beyond. In a page,

    ```sh       is run; a command that fails fails the page
    ```text     behind it is what it printed; … stands for anything, on a line of its own for any lines
    `name`:     before any other block makes a file of it
    <!-- needs: postgres -->    gives the page a database in $DATABASE_URL
    <!-- needs: originals -->   gives it the tables of the systems that herald stands in for
"""
import base64
import ctypes
import hmac
import http.client
import json
import os
import pathlib
import re
import secrets
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("integration", "servers", "profiles", "guides"):
    sys.path.insert(0, str(ROOT / "tests" / folder))

import herald as h
import originals

BIN = os.environ["HERALD_BIN"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PATIENCE = 30  # seconds, for one block


def blocks(text):
    """(kind, name, body) of each fenced block; the name is that of the file it is to be."""
    for m in BLOCK.finditer(text):
        named = re.search(r"`([\w.]+)`(?:, for [^\n]*)?:\s*\Z", text[:m.start()])
        yield m[1], named and named[1], m[2]


def pattern(expected):
    """What a text block says, as a regular expression over lines without trailing spaces."""
    lines = []
    for line in expected.splitlines():
        if line == "…":
            lines.append(r"(?:[^\n]*\n)*")
        else:
            # Columns may be wider than in the guide.
            words = [re.escape(w).replace("…", r"[^\n]*") for w in re.split(r" +", line.rstrip())]
            lines.append(" *".join(words) + r" *\n")
    return "".join(lines)


class Session:
    """bash in namespaces of its own: they take all that was started in them along when they end."""

    def __init__(self, folder):
        bin_folder = folder / ".bin"
        bin_folder.mkdir()
        (bin_folder / "herald").symlink_to(BIN)
        (folder / "build").mkdir()
        (folder / "build" / "herald").symlink_to(BIN)
        env = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8",
               "MONGOC_DISABLE_SHM": "1", "GOCACHE": os.environ.get("GOCACHE", "/tmp/herald-gocache")}
        who = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.folder = folder
        self.errors = open(folder / ".stderr", "w+", encoding="utf-8")
        self.shell = subprocess.Popen(
            ["unshare", *who, "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "--norc"],
            cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.listening = self.before = self.n = 0
        self.run("set -e -m -o pipefail\nip link set lo up\n")

    def run(self, body):
        """What the block printed to standard output."""
        self.n += 1
        script = self.folder / f".block{self.n}"
        script.write_text(body)
        self.shell.stdin.write(f"source {script}\necho; echo '<<{self.n}>>'\n")
        self.shell.stdin.flush()
        self.deadline = time.monotonic() + PATIENCE
        signal.signal(signal.SIGALRM, self.too_long)
        signal.alarm(PATIENCE)
        lines = []
        try:
            for line in self.shell.stdout:
                if line == f"<<{self.n}>>\n":
                    break
                # What servers in the background say may come at any moment; it is not the block's.
                if not re.match(r"listening at |sending to ", line):
                    lines.append(line)
            else:
                self.fail(f"the block ended the session:\n{body}\n{''.join(lines)}")
        finally:
            signal.alarm(0)
        self.wait_for_servers(body)
        text = "".join(lines)
        return text[:-1] if text.endswith("\n\n") or text == "\n" else text

    def too_long(self, *_):
        self.fail(f"block {self.n} has not ended after {PATIENCE} s")

    def sockets(self):
        """How many of the page's network listen."""
        table = pathlib.Path(f"/proc/{self.inner()}/net/tcp").read_text().splitlines()[1:]
        return sum(line.split()[3] == "0A" for line in table)

    def inner(self):
        """The pid of the first process inside."""
        return int(pathlib.Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text().split()[0])

    def wait_for_servers(self, body):
        """A reader does not type as quickly as this: what was put into the background shall listen."""
        self.listening += len(re.findall(r" &$", body, re.M))
        while True:
            if self.sockets() >= self.before + self.listening:
                return
            if time.monotonic() > self.deadline:
                self.fail(f"what was started does not listen:\n{body}")
            time.sleep(0.05)

    def stopped(self, body):
        """Servers that the block ends do not listen any more."""
        self.listening -= len(re.findall(r"^kill .*%", body, re.M))

    def fail(self, why):
        self.errors.flush()
        self.errors.seek(0)
        pytest.fail(f"{why}\n--- stderr\n{self.errors.read()[-4000:]}", pytrace=False)

    def end(self):
        self.shell.kill()
        self.shell.wait()
        self.errors.close()


def enter(pid):
    """This thread, and what it starts from here on, into the network of that process."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


@pytest.fixture
def session(page, tmp_path):
    needs = re.findall(r"<!-- needs: (\w+) -->", page.read_text())
    if needs and os.geteuid() != 0:
        pytest.skip("starting servers in the network of a page needs root")
    for need in needs:
        originals.prepare(need)  # what has to be fetched is fetched in the machine's own network
    one = Session(tmp_path)
    started, home = [], os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if needs:
            enter(one.inner())
        for need in needs:
            variables = originals.start(need, started)
            one.before = one.sockets()
            one.run("".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))
        yield one
    finally:
        for server in started:
            server.close()
        if needs:
            ctypes.CDLL(None).setns(home, 0x40000000)
        os.close(home)
        one.end()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page(page, session, tmp_path):
    printed, asked = None, 0
    for kind, name, body in blocks(page.read_text()):
        if kind == "sh":
            session.stopped(body)
            printed = session.run(body)
            asked += 1
        elif kind == "text":
            assert printed is not None, "a text block that follows no command"
            assert re.fullmatch(pattern(body), printed), f"it printed\n{printed}\nand not\n{body}"
            printed = None
        elif name:
            (tmp_path / name).write_text(body)
    if page.name != "README.md" or page.parent == ROOT:
        assert asked


def test_no_command_hides_in_an_indented_block():
    """Blocks that are not fenced are not run: what looks like a command of ours must not be in one."""
    for page in PAGES:
        if page == ROOT / "docs" / "guides" / "README.md":
            continue
        text = BLOCK.sub("", page.read_text())
        assert not re.search(r"^ {4,}(?:\$ )?(?:herald|build/herald|curl|export|docker|kubectl) ", text, re.M), page.name


def quoted(row):
    """What the guide says that herald says, of the n-th reason why it does not start."""
    text = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text()
    table = text.split("## It does not start")[1].split("\n## ")[0]
    said = re.findall(r"^\| `([^`]+)`", table, re.M)
    assert len(said) == 5
    return ".*".join(re.escape(part.strip()) for part in said[row].split("…"))


def test_why_it_does_not_start(tmp_path):
    def refusal(**more):
        env = {"PATH": os.environ["PATH"], "DATABASE_URL": "memory:", "SERVER_PORT": "0", "MONGOC_DISABLE_SHM": "1",
               "WEBHOOK_URL": "http://127.0.0.1:9/", **more}
        done = subprocess.run([BIN, "serve"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode in (1, 2)
        return done.stderr

    assert re.search(quoted(0), refusal(WEBHOOK_URL=""))
    (tmp_path / "one").mkdir()
    one = h.Herald(tmp_path / "one", DATABASE_URL=f"sqlite:{tmp_path}/herald.db")
    try:
        one.start()
        assert re.search(quoted(1), refusal(SERVER_PORT=str(one.port)))
        assert re.search(quoted(2), refusal(DATABASE_URL=f"sqlite:{tmp_path}/herald.db"))
        one.stop()
    finally:
        one.cleanup()
    with sqlite3.connect(tmp_path / "herald.db") as db:
        db.execute("PRAGMA user_version = 1000000")
    assert re.search(quoted(3), refusal(DATABASE_URL=f"sqlite:{tmp_path}/herald.db"))
    (tmp_path / "other").write_text("something else, and long enough to be looked at " * 10)
    assert re.search(quoted(4), refusal(DATABASE_URL=f"sqlite:{tmp_path}/other"))


# How each receiver of the guide is started: what compiles it, and what runs it.
RECEIVERS = {
    "receiver.py": ([], ["python3", "receiver.py", "{port}"]),
    "receiver.js": ([], ["node", "receiver.js", "{port}"]),
    "receiver.go": (["go", "build", "-o", "receiver", "receiver.go"], ["./receiver", "{port}"]),
    "receiver.php": ([], ["php", "-S", "127.0.0.1:{port}", "receiver.php"]),
}
OLD, NEW = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def post(port, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    value = answer.status, json.loads(answer.read())
    connection.close()
    return value


def sign(secret, id, timestamp, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
    return {"Idempotency-Key": id, "webhook-id": id, "webhook-timestamp": str(timestamp),
            "webhook-signature": "v1," + base64.b64encode(mac).decode()}


@pytest.fixture
def receiver(request, tmp_path):
    """A receiver of the guide with the secret OLD: its port."""
    name = request.param
    compiling, running = RECEIVERS[name]
    (code,) = (body for _, file, body in blocks((ROOT / "docs" / "guides" / "receiver.md").read_text()) if file == name)
    (tmp_path / name).write_text(code)
    (tmp_path / "secret").write_text(OLD + "\n")
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    if compiling:
        subprocess.run(compiling, cwd=tmp_path, env=env, check=True, timeout=240)
    port = h.free_port()
    process = subprocess.Popen([word.format(port=port) for word in running], cwd=tmp_path, env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    h.eventually(lambda: listens(port), what=f"{name} listening")
    yield port
    process.terminate()
    process.wait()


@pytest.mark.parametrize("receiver", RECEIVERS, indirect=True)
def test_receiver(receiver, tmp_path):
    body = '{"to":"+905551234567","content":"G\u00fcnayd\u0131n \U0001f600"}'.encode()
    now = int(time.time())
    status, first = post(receiver, sign(OLD, "1-a", now, body), body)
    assert status == 202 and first["messageId"]
    assert post(receiver, sign(OLD, "1-a", now, body), body) == (202, first), "a repeated key, another answer"
    assert post(receiver, sign(OLD, "2-b", now, body), body)[1]["messageId"] != first["messageId"]
    # What is not herald's.
    assert post(receiver, {}, body)[0] == 401
    assert post(receiver, sign(NEW, "3-c", now, body), body)[0] == 401, "another secret"
    assert post(receiver, sign(OLD, "3-c", now, body), body + b" ")[0] == 401, "another body"
    assert post(receiver, {**sign(OLD, "3-c", now, body), "webhook-id": "4-d"}, body)[0] == 401, "another id"
    for off in (-400, 400):
        assert post(receiver, sign(OLD, "3-c", now + off, body), body)[0] == 401, "too old or too new"
    assert post(receiver, {**sign(OLD, "3-c", now, body), "webhook-timestamp": "soon"}, body)[0] == 401
    # Herald itself, while the secret is being changed: it signs with both.
    (tmp_path / "herald").mkdir()
    herald = h.Herald(tmp_path / "herald", WEBHOOK_URL=f"http://127.0.0.1:{receiver}/",
                      WEBHOOK_SECRET=f"{NEW} {OLD}", MESSAGE_SEND_INTERVAL="100ms")
    try:
        herald.start()
        done = herald.run("send", "--wait", "+905551234567", "G\u00fcnayd\u0131n \U0001f600")
        assert done.returncode == 0, done.stdout + done.stderr
        herald.stop()
    finally:
        herald.cleanup()
