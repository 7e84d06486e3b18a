"""What lies in MongoDB's documents: what says nothing is left out, and half-finished work is brought to its end."""
import re
import time

import mongo_client
import pytest

from herald import eventually


@pytest.fixture
def mongo(request, ferretdb):
    """A database of this test's own: its URL, and ask(command=…)."""
    name = request.node.name[:40]

    class Mongo:
        url = re.sub(r"(//[^/]*)/[^?]*", rf"\1/{name}", ferretdb.url)

        @staticmethod
        def ask(**command):
            return mongo_client.command(ferretdb.port, name, **command)

        def documents(self):
            return self.ask(find="herald_messages", filter={})["cursor"]["firstBatch"]

    return Mongo()


def test_a_settled_message_carries_nothing_of_its_way_there(herald, sink, mongo):
    receiver = sink()
    h = herald(DATABASE_URL=mongo.url, WEBHOOK_URL=receiver.url, MESSAGE_SEND_INTERVAL="0")
    h.start()
    h.create_many(2)
    h.wait_stats(sent=2)
    for document in mongo.documents():
        assert not {"batch", "token", "lost", "error"} & set(document)
        (attempt,) = document["tries"]
        assert attempt["counts"] == document["run"] > 0
        assert "run" not in attempt
        assert h.attempts(document["_id"])[0]["run"] == document["run"]


def test_what_a_dead_writer_had_committed_is_published(herald, mongo):
    h = herald(DATABASE_URL=mongo.url, AUTO_START_SCHEDULER="false")
    h.start()
    h.create_many(3)
    h.stop()
    now = time.time_ns() // 1000
    # As it is when the writer dies between committing and publishing; of the third, in between the rows.
    mongo.ask(update="herald_messages", updates=[
        {"q": {"_id": i}, "u": {"$set": {"state": -1, "batch": 4711, "created_at": now - 60_000_000}}} for i in (1, 2)])
    mongo.ask(insert="herald_commits", documents=[{"_id": 4711, "committed": True, "at": now}])
    h.start()
    eventually(lambda: h.stats()["pending"] == 3, timeout=30, what="the messages")
    assert not any("batch" in d for d in mongo.documents())
