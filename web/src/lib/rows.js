// A CSV file as rows that are fit to be sent, or with the reason why not. Reads the file in pieces, so its size does
// not matter. The rules are those of `herald import`; what only the server knows (the longest content, a
// phone pattern) it says when a row reaches it.
import { aliasesOf, columnOf } from "./columns.js";
import { separatorOf, splitRecord } from "./csv.js";
import { rowKey } from "./rowkey.js";
import { phoneValid } from "./text.js";

const PIECE = 1 << 18;
const RECORD_MAX = 4 << 20;
const KEY = /^[!-~]{1,255}$/;
const TIME = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

/** What is wrong with the whole file: no row can be read. */
export class FileError extends Error {}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder();

const trimmed = (text) => text.replace(/^[ \t]+|[ \t]+$/g, "");
const shown = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** Microseconds since 1970 as a BigInt; null for what is no RFC 3339 time. */
export function microseconds(text) {
	const m = TIME.exec(text);
	const ms = m ? Date.parse(`${m[1]}T${m[2]}${m[4].toUpperCase()}`) : NaN;
	if (Number.isNaN(ms) || ms < 0)
		return null;
	return BigInt(ms) * 1000n + BigInt((m[3] ?? "").padEnd(6, "0").slice(0, 6));
}

/** JSON with sorted keys and no spaces: one value, one spelling. */
function canonical(value) {
	if (Array.isArray(value))
		return `[${value.map(canonical).join(",")}]`;
	if (value === null || typeof value !== "object")
		return JSON.stringify(value);
	const members = Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`);
	return `{${members.join(",")}}`;
}

function readMetadata(text) {
	let value;
	try {
		value = JSON.parse(text);
	} catch {
		return { why: "metadata: must be a JSON object" };
	}
	if (value === null || typeof value !== "object" || Array.isArray(value))
		return { why: "metadata: must be a JSON object" };
	const json = canonical(value);
	const size = new TextEncoder().encode(json).length;
	if (size > 4096)
		return { why: `metadata: has ${size} bytes, the maximum is 4096` };
	return { value, json };
}

/** Texts by column -> {draft} or {why}. */
function checkRow(text, line, prefix) {
	const phone = trimmed(text.phoneNumber ?? "");
	const content = text.content ?? "";
	const sendAt = trimmed(text.sendAt ?? "");
	const key = trimmed(text.idempotencyKey ?? "");
	const metaText = trimmed(text.metadata ?? "");
	const meta = metaText ? readMetadata(metaText) : { json: "" };

	if (meta.why)
		return { why: meta.why };
	if (!phone)
		return { why: "phoneNumber: is missing" };
	if (!phoneValid(phone))
		return { why: `phoneNumber: “${shown(phone)}” is not an E.164 number: “+”, then 2 to 15 digits, the first not 0` };
	if (!content)
		return { why: "content: is missing" };
	if (content.includes("\0"))
		return { why: "content: holds a NUL character" };
	const at = sendAt ? microseconds(sendAt) : 0n;
	if (at === null || (sendAt && at === 0n))
		return { why: `sendAt: “${shown(sendAt)}” is not an RFC 3339 time, e.g. 2026-01-31T09:00:00Z` };
	if (key && !KEY.test(key))
		return { why: "idempotencyKey: must be 1 to 255 visible ASCII characters" };

	const draft = {
		phoneNumber: phone, content,
		idempotencyKey: key || rowKey(prefix, line, phone, content, at, meta.json),
	};
	if (sendAt)
		draft.sendAt = sendAt;
	if (meta.value)
		draft.metadata = meta.value;
	return { draft };
}

function readHeader(fields) {
	const columns = fields.map((f) => columnOf(lenient.decode(f)));
	columns.forEach((c, i) => {
		if (!c)
			throw new FileError(`The first line names a column “${shown(lenient.decode(fields[i]))}”, which has no meaning here. Known are phoneNumber, content, sendAt, idempotencyKey and metadata.`);
		if (c !== "known" && columns.indexOf(c) !== i)
			throw new FileError(`Two columns mean ${c}.`);
	});
	for (const c of ["phoneNumber", "content"])
		if (!columns.includes(c))
			throw new FileError(`The first line names no column ${c} (or ${aliasesOf(c)}).`);
	return columns;
}

function readRecord(record, line, columns, prefix) {
	if (record.why)
		return { line, why: record.why };
	if (record.fields.length !== columns.length)
		return { line, why: `has ${record.fields.length} column${record.fields.length === 1 ? "" : "s"}, the first line has ${columns.length}` };
	const text = {};
	for (let i = 0; i < columns.length; i++) {
		try {
			text[columns[i]] = strict.decode(record.fields[i]);
		} catch {
			return { line, why: `${columns[i]}: is not valid UTF-8` };
		}
	}
	return { line, ...checkRow(text, line, prefix) };
}

const raw = (data, from, to) => shown(lenient.decode(data.subarray(from, Math.min(to, from + 200))).replace(/\r?\n/g, " "));

/**
 * Yields the rows of a File or Blob a piece at a time: {rows, done}, done being the bytes read so far. A row is
 * {line, draft} or {line, why, raw}. Throws a FileError.
 */
export async function* readRows(file, prefix) {
	let data = new Uint8Array(0);
	let at = 0;
	let line = 1;
	let columns = null;
	let separator = 0;

	for (let read = 0, atEnd = false; !atEnd;) {
		const piece = new Uint8Array(await file.slice(read, read + PIECE).arrayBuffer());
		read += piece.length;
		atEnd = read >= file.size;
		const rest = data.subarray(at);
		data = new Uint8Array(rest.length + piece.length);
		data.set(rest);
		data.set(piece, rest.length);
		at = 0;
		if (!columns && !separator) {
			if (data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf)
				at = 3;
			separator = separatorOf(data.subarray(at));
		}
		const rows = [];
		while (at < data.length) {
			let record = splitRecord(data, at, atEnd, separator);
			if (!record) {
				if (data.length - at < RECORD_MAX)
					break;
				const newline = data.indexOf(10, at);
				record = { why: "longer than 4 MiB, or a quote is not closed", newlines: newline < 0 ? 0 : 1, next: newline < 0 ? data.length : newline + 1 };
			}
			const begin = at;
			at = record.next;
			if (!columns && record.why)
				throw new FileError(`The first line is not CSV: ${record.why}.`);
			if (!columns && !record.blank) {
				columns = readHeader(record.fields);
			} else if (!record.blank) {
				const row = readRecord(record, line, columns, prefix);
				if (row.why)
					row.raw = raw(data, begin, at);
				rows.push(row);
			}
			line += record.newlines;
		}
		yield { rows, done: read };
	}
	if (!columns)
		throw new FileError("The file is empty. It needs a first line such as: phoneNumber,content");
}

