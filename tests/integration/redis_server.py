"""A real redis-server for the tests: on a free port of the loopback, in the test's own directory, stopped by
its process id. The Debian package redis-tools is enough: the server is the same program as its checker, known
by the name it is called by."""
import shutil
import signal
import socket
import subprocess

from herald import eventually, free_port

PROGRAM = shutil.which("redis-server") or shutil.which("redis-check-rdb")


class RedisError(Exception):
    """An error reply, as text."""


class Redis:
    def __init__(self, directory, *options):
        self.dir, self.options = directory, options
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        assert self.process is None, "already started"
        with open(self.dir / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                 "no", "--dir", str(self.dir), *self.options],
                executable=PROGRAM, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            try:
                return self("PING") == "PONG"
            except RedisError as e:
                return "NOAUTH" in str(e)
            except OSError:
                assert self.process.poll() is None, (self.dir / "redis.log").read_text()[-2000:]
                return False
        eventually(answers, 10, 0.01, "an answer of redis-server")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process is not None:
            self.kill()

    def __call__(self, *words):
        """One command on a connection of its own; strings, numbers, None and lists as they are."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rb") as reader:
            encoded = [str(w).encode() for w in words]
            s.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
            return self.read(reader)

    def read(self, reader):
        line = reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RedisError(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else reader.read(int(rest) + 2)[:-2].decode()
        assert kind == b"*", line
        return [self.read(reader) for _ in range(int(rest))]
