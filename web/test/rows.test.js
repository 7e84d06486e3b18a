import assert from "node:assert/strict";
import { test } from "node:test";
import { FileError, microseconds, readRows } from "../src/lib/rows.js";
import { keyPrefix, rowKey } from "../src/lib/rowkey.js";

/** A Blob that gives its bytes in small pieces, whatever it is asked for: a row may be cut anywhere. */
class Dripping {
	constructor(text, piece) {
		this.bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
		this.piece = piece;
		this.at = 0;
	}

	get size() {
		return this.bytes.length;
	}

	slice(from) {
		const part = this.bytes.slice(from, from + this.piece);
		return { arrayBuffer: async () => part.buffer };
	}
}

async function rowsOf(text, piece = 1e6) {
	const all = [];
	for await (const { rows } of readRows(new Dripping(text, piece), "f"))
		all.push(...rows);
	return all;
}

const short = (rows) => rows.map((r) => (r.why ? [r.line, r.why] : [r.line, r.draft.phoneNumber, r.draft.content]));

test("keys are those of the command, byte for byte", () => {
	// The golden values of tests/unit/test_cli_rows.c.
	assert.equal(rowKey("", 2, "+905551234567", "hello", 0n, ""), ":0000000002:d619e2dfae6db556");
	assert.equal(rowKey("", 0x123456789a, "+905551234567", "hello", 1893456000000000n, '{"a":1}'), ":123456789a:d4c492c0d929fb25");
	assert.equal(keyPrefix("my fileü.csv"), "my%20file%C3%BC.csv");
	assert.equal(keyPrefix("x".repeat(600)).length + 28, 255);
});

test("a file is read alike however it is cut", async () => {
	const text = '\ufeffphone,text,meta\r\n+905551234567,"a ""quoted"", text\nof two lines","{""b"":1,""a"":2}"\r\n\r\n+905551234568,ü€😀,\r\n+12,last,';
	const whole = await rowsOf(text);
	assert.deepEqual(short(whole), [
		[2, "+905551234567", 'a "quoted", text\nof two lines'], [5, "+905551234568", "ü€😀"], [6, "+12", "last"],
	]);
	assert.deepEqual(whole[0].draft.metadata, { b: 1, a: 2 });
	for (const piece of [1, 2, 3, 7, 64])
		assert.deepEqual(await rowsOf(text, piece), whole, `in pieces of ${piece}`);
});

test("each bad row is named by its line and a reason", async () => {
	const head = "phoneNumber;content;sendAt;metadata;idempotencyKey\n";
	for (const [row, why] of [
		["0555;x;;;", /^phoneNumber: “0555” is not/],
		[";x;;;", /^phoneNumber: is missing/],
		["+905551234567;;;;", /^content: is missing/],
		["+905551234567;x;tomorrow;;", /^sendAt: “tomorrow” is not/],
		["+905551234567;x;;[1];", /^metadata: must be a JSON object/],
		["+905551234567;x;;{;", /^metadata: must be a JSON object/],
		["+905551234567;x;;;with space", /^idempotencyKey: must be/],
		["+905551234567;x", /^has 2 columns, the first line has 5/],
		['+905551234567;x"y;;;', /^a quote inside an unquoted field/],
		['+905551234567;"x"y;;;', /^text behind a closing quote/],
		['+905551234567;"x;;;', /^a quote is not closed/],
		["+905551234567;a\0b;;;", /^content: holds a NUL/],
	]) {
		const rows = await rowsOf(head + row);
		assert.equal(rows.length, 1, row);
		assert.equal(rows[0].line, 2);
		assert.match(rows[0].why ?? "", why, row);
	}
	const latin = new Uint8Array([...new TextEncoder().encode("phone,text\n+905551234567,"), 0xfc, 0x0a]);
	assert.deepEqual(short(await rowsOf(latin)), [[2, "content: is not valid UTF-8"]]);
});

test("a file that cannot be read at all says why", async () => {
	for (const [text, why] of [
		["", /is empty/], ["\n\n", /is empty/], ["phone\n", /names no column content/], ["phone,text,colour\n", /“colour”/],
		["phone,mobile,text\n", /Two columns mean phoneNumber/], ['"phone,text\n', /not CSV: a quote is not closed/],
	])
		await assert.rejects(rowsOf(text), (e) => e instanceof FileError && why.test(e.message), text);
});

test("times are moments, however they are spelled", () => {
	assert.equal(microseconds("2030-01-01T00:00:00Z"), 1893456000000000n);
	assert.equal(microseconds("2030-01-01 01:00:00.5+01:00"), 1893456000500000n);
	assert.equal(microseconds("2030-13-01T00:00:00Z"), null);
	assert.equal(microseconds("2030-01-01"), null);
});
