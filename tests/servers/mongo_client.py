"""Just enough of MongoDB's wire protocol (OP_MSG) and of BSON to put documents into a collection and to read them."""
import datetime
import socket
import struct


class ObjectId(str):
    """24 hexadecimal digits."""


def encode(document):
    out = b""
    for key, value in document.items():
        name = key.encode() + b"\0"
        if isinstance(value, ObjectId):
            out += b"\x07" + name + bytes.fromhex(value)
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            out += b"\x02" + name + struct.pack("<i", len(text)) + text
        elif isinstance(value, bool):
            out += b"\x08" + name + bytes([value])
        elif isinstance(value, int):
            out += b"\x12" + name + struct.pack("<q", value)
        elif isinstance(value, datetime.datetime):
            out += b"\x09" + name + struct.pack("<q", round(value.timestamp() * 1000))
        elif value is None:
            out += b"\x0a" + name
        elif isinstance(value, dict):
            out += b"\x03" + name + encode(value)
        elif isinstance(value, list):
            out += b"\x04" + name + encode({str(i): v for i, v in enumerate(value)})
        else:
            raise TypeError(type(value))
    return struct.pack("<i", len(out) + 5) + out + b"\0"


def decode(data):
    return _decode(data, 0)[0]


def _decode(data, at):
    end = at + struct.unpack_from("<i", data, at)[0]
    at += 4
    document = {}
    while data[at]:
        kind = data[at]
        stop = data.index(b"\0", at + 1)
        key, at = data[at + 1:stop].decode(), stop + 1
        if kind == 0x02:
            n = struct.unpack_from("<i", data, at)[0]
            value, at = data[at + 4:at + 3 + n].decode(), at + 4 + n
        elif kind in (0x03, 0x04):
            value, at = _decode(data, at)
            value = list(value.values()) if kind == 0x04 else value
        elif kind == 0x07:
            value, at = ObjectId(data[at:at + 12].hex()), at + 12
        elif kind == 0x08:
            value, at = bool(data[at]), at + 1
        elif kind == 0x0A:
            value = None
        elif kind == 0x10:
            value, at = struct.unpack_from("<i", data, at)[0], at + 4
        elif kind in (0x09, 0x11, 0x12):
            value, at = struct.unpack_from("<q", data, at)[0], at + 8
        elif kind == 0x01:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            raise ValueError(f"BSON type {kind:#x}")
        document[key] = value
    return document, end


def command(port, database, **words):
    """The server's answer to a command; the first of the words names it."""
    body = struct.pack("<IB", 0, 0) + encode({**words, "$db": database})
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body)
        data = b""
        while len(data) < 4 or len(data) < struct.unpack_from("<i", data)[0]:
            part = s.recv(65536)
            assert part, "the server hung up"
            data += part
    answer = decode(data[21:])
    assert answer["ok"] == 1, answer
    return answer
