"""A reader of GET /api/v1/events that takes the bytes as they come."""
import http.client
import json
import socket
import threading

from herald import SLOW, eventually


class Events:
    """Follows the stream in a thread; `seen` has (event, id, data) in the order they came."""

    def __init__(self, herald, last=None, **keys):
        headers = dict(keys)
        if last:
            headers["Last-Event-ID"] = last
        self.connection = http.client.HTTPConnection("127.0.0.1", herald.port, timeout=30 * SLOW)
        self.connection.request("GET", "/api/v1/events", headers=headers)
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.seen, self.beats = [], 0
        self.over = threading.Event()
        if self.status == 200:
            self.thread = threading.Thread(target=self.follow, daemon=True)
            self.thread.start()

    def follow(self):
        event = {}
        try:
            for line in iter(self.answer.readline, b""):
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    self.beats += 1
                elif line:
                    name, _, value = line.partition(": ")
                    assert name in ("id", "event", "data") and name not in event, line
                    event[name] = value
                elif event:
                    self.seen.append((event["event"], event.get("id"), json.loads(event["data"])))
                    event = {}
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.over.set()

    def of(self, kind):
        return [data for event, _, data in list(self.seen) if event == kind]

    def wait(self, kind, check=lambda data: True, timeout=30):
        """The first event of the kind that satisfies check."""
        return eventually(lambda: next((d for d in self.of(kind) if check(d)), None), timeout, 0.01, f"a {kind}")

    def last_id(self):
        return [i for _, i, _ in self.seen if i][-1]

    def close(self):
        # Whoever sits in a read holds the reader's lock until the socket ends.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.status == 200:
            self.thread.join(5)
        self.answer.close()
        self.connection.close()
