"""MongoDB's schema of before there was an index of phone numbers becomes this herald's; the other drivers' steps are
tested beside them (tests/contract)."""
import re

import mongo_client

NAME = "migrated"


def test_phone_numbers_are_indexed_by_the_next_herald(herald, ferretdb):
    h = herald(DATABASE_URL=re.sub(r"(//[^/]*)/[^?]*", rf"\1/{NAME}", ferretdb.url), AUTO_START_SCHEDULER="false")

    def ask(**command):
        return mongo_client.command(ferretdb.port, NAME, **command)

    def indexes():
        return {i["name"] for i in ask(listIndexes="herald_messages")["cursor"]["firstBatch"]}

    h.start()
    h.create(phone="+905550000001")
    h.create(phone="+905550000002")
    h.stop()
    assert "herald_phone" in indexes()
    ask(dropIndexes="herald_messages", index="herald_phone")
    ask(update="herald_meta", updates=[{"q": {"_id": "schema"}, "u": {"$set": {"version": 1}}}])
    h.start()
    assert "herald_phone" in indexes()
    assert ask(find="herald_meta", filter={"_id": "schema"})["cursor"]["firstBatch"][0]["version"] == 2
    page = h.api.get("/api/v1/messages?phoneNumber=%2B905550000001").json
    assert [m["phoneNumber"] for m in page["data"]] == ["+905550000001"]
