import assert from "node:assert/strict";
import { test } from "node:test";
import { readEvents } from "../src/api/sse.js";
import { countdown, span } from "../src/lib/time.js";
import { codePoints, phoneValid, wellFormed } from "../src/lib/text.js";

test("spans and countdowns", () => {
	assert.deepEqual([0.5, 350, 4200, 60000, 4800000, 90061000].map(span), ["0.5 ms", "350 ms", "4.2 s", "1 min", "1 h 20 min", "1 d 1 h"]);
	assert.deepEqual([0, 6001, 125000, 3600000].map(countdown), ["0:00", "0:07", "2:05", "1:00:00"]);
});

test("characters are counted as the API counts them", () => {
	assert.deepEqual(["", "abc", "ü", "😀", "👩‍👩‍👧"].map(codePoints), [0, 3, 1, 1, 5]);
	assert.equal(wellFormed("a😀b"), true);
	assert.equal(wellFormed("a\ud83db"), false);
	assert.deepEqual(["+905551234567", "+1", "905551234567", "+0123", "+12"].map(phoneValid), [true, false, false, false, true]);
});

test("a stream of events is read alike however it is cut", async () => {
	const text = ": hello\n\nid: a-1\nevent: attempt\ndata: {\"x\":\"ü\"}\n\nevent: two\r\ndata: 1\r\ndata:2\r\n\r\ndata\n\n";
	const bytes = new TextEncoder().encode(text);
	for (const size of [1, 2, 5, 1000]) {
		const body = new ReadableStream({
			start(c) {
				for (let i = 0; i < bytes.length; i += size)
					c.enqueue(bytes.slice(i, i + size));
				c.close();
			},
		});
		const events = [];
		for await (const e of readEvents(body))
			events.push(e && [e.id, e.event, e.data]);
		assert.deepEqual(events, [null, ["a-1", "attempt", '{"x":"ü"}'], [undefined, "two", "1\n2"], [undefined, "message", ""]], `in pieces of ${size}`);
	}
});
