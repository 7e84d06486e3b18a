#!/usr/bin/env python3
"""free_port: a TCP port of the loopback that nobody takes before its owner does, nor while that is down.

It lies below the range from which the kernel serves port 0 and outgoing connections: a client that tries again and
again to reach a stopped server there would in the end connect to itself. And the UDP port of the same number is held
for as long as this process lives (the last 200 are), by which all who ask here know that it is spoken for.

As a program it prints one, and holds nothing.
"""
import collections
import random
import socket

_reserved = collections.deque(maxlen=200)  # more than one test needs


def free_port():
    for _ in range(2000):
        port = random.randrange(12000, 32000)
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        _reserved.append(held)
        return port
    raise OSError("no free port between 12000 and 32000")


if __name__ == "__main__":
    print(free_port())
