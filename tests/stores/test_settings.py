"""Servers whose settings for all who come are not the usual ones: herald says for its own sessions what it needs."""
import pytest

import herald as h
import servers

TEXTS = ["ü 你好 😀 שלום", "back\\slash \\' \\\" \\0 \\", "'single' \"double\" `back`", "a -- b; /* c */ || d", "trail "]

MARIADB = ["completion_type=RELEASE", "sql_mode=ORACLE,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH", "autocommit=0",
           "transaction_isolation=SERIALIZABLE", "innodb_rollback_on_timeout=ON", "innodb_snapshot_isolation=ON",
           "auto_increment_increment=7", "auto_increment_offset=3", "sql_safe_updates=1", "max_allowed_packet=1M",
           "character_set_server=utf8mb3", "skip_character_set_client_handshake"]


def test_a_mariadb_that_was_set_up_for_somebody_else(herald, sink):
    try:
        server = servers.MariaDB(options=MARIADB)
    except servers.Unavailable as e:
        pytest.skip(str(e))
    with server:
        receiver = sink()
        nodes = [herald(DATABASE_URL=server.url, WEBHOOK_URL=receiver.url, NODE_ID=f"n{n}").start() for n in range(2)]
        contents = [f"{n} {text}" for n in range(40) for text in TEXTS]
        ids = {nodes[n % 2].create(c, idempotencyKey=f"key-{n}")["id"]: c for n, c in enumerate(contents)}
        assert len(ids) == len(contents)
        h.eventually(lambda: len(receiver.requests) >= len(contents), 30, what="all of them")
        nodes[0].wait_stats(sent=len(contents), sending=0)
        assert sorted(r.json["content"] for r in receiver.requests) == sorted(contents)
        for i in list(ids)[:5]:
            assert nodes[1].get(i)["content"] == ids[i]
        again = nodes[1].api.post("/api/v1/messages", {"phoneNumber": h.PHONE, "content": contents[0],
                                                       "idempotencyKey": "key-0"})
        assert again.data["id"] == next(iter(ids))
        for node in nodes:
            assert not [e for e in node.log() if e["level"] in ("warn", "error")]
            node.stop()
