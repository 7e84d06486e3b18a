// The idempotency keys that `herald import` gives rows, byte for byte (src/cli/row_key.h): a file imported here
// may be imported again, here or with the command, and creates only what is not there yet. One exception:
// metadata with fractions or integers beyond 2^53, which JavaScript writes in another way.

const KEY_MAX = 255;
const TAIL = 28; // ":LINE:HASH"

/** The file's name, bytes that a key cannot hold percent-encoded, cut to the maximum. */
export function keyPrefix(fileName) {
	let out = "";
	for (const b of new TextEncoder().encode(fileName))
		out += b > 0x20 && b < 0x7f ? String.fromCharCode(b) : `%${b.toString(16).toUpperCase().padStart(2, "0")}`;
	return out.slice(0, KEY_MAX - TAIL);
}

// 64-bit numbers as two halves: BigInt would be an order of magnitude slower.
let hi = 0;
let lo = 0;

/** (hi, lo) *= (ch, cl), modulo 2^64 */
function multiply(ch, cl) {
	const a0 = lo & 0xffff, a1 = lo >>> 16;
	const b0 = cl & 0xffff, b1 = cl >>> 16;
	const low = Math.imul(a0, b0) >>> 0;
	const mid = a1 * b0 + (low >>> 16);
	const mid2 = a0 * b1 + (mid % 0x10000);
	const carry = a1 * b1 + Math.floor(mid / 0x10000) + Math.floor(mid2 / 0x10000);
	const high = (carry + (Math.imul(hi, cl) >>> 0) + (Math.imul(lo, ch) >>> 0)) >>> 0;
	lo = (((mid2 & 0xffff) << 16) | (low & 0xffff)) >>> 0;
	hi = high;
}

function step(wordHi, wordLo) {
	hi = (hi ^ wordHi) >>> 0;
	lo = (lo ^ wordLo) >>> 0;
	multiply(0x9e3779b9, 0x7f4a7c15);
	lo = (lo ^ hi) >>> 0; // h ^= h >> 32
}

/** h ^= h >> n, for n below 32 */
function fold(n) {
	lo = (lo ^ ((lo >>> n) | (hi << (32 - n)))) >>> 0;
	hi = (hi ^ (hi >>> n)) >>> 0;
}

/** hash_bytes() of src/base/hash.c; the seed is what the last call left in (hi, lo). */
function hashBytes(data) {
	const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	const length = data.byteLength;
	hi = (hi ^ 0xcbf29ce4) >>> 0;
	lo = (lo ^ 0x84222325) >>> 0;
	step(Math.floor(length / 0x100000000), length >>> 0);
	let i = 0;
	for (; i + 8 <= length; i += 8)
		step(view.getUint32(i + 4, true), view.getUint32(i, true));
	if (i < length) {
		const word = [0, 0];
		for (let k = 0; i < length; i++, k++)
			word[k >> 2] |= data[i] << (8 * (k & 3));
		step(word[1] >>> 0, word[0] >>> 0);
	}
	fold(30);
	multiply(0xbf58476d, 0x1ce4e5b9);
	fold(27);
	multiply(0x94d049bb, 0x133111eb);
	fold(31);
}

const hex = (n, digits) => n.toString(16).padStart(digits, "0");
const utf8 = new TextEncoder();

/** sendAt in microseconds since 1970 (a BigInt), 0n for none; metadata as compact JSON with sorted keys, or "". */
export function rowKey(prefix, line, phone, content, sendAt, metadata) {
	const time = new DataView(new ArrayBuffer(8));
	time.setBigUint64(0, sendAt, true);
	hi = 0;
	lo = 0;
	for (const part of [utf8.encode(phone), utf8.encode(content), new Uint8Array(time.buffer), utf8.encode(metadata)])
		hashBytes(part);
	return `${prefix}:${hex(line, 10)}:${hex(hi, 8)}${hex(lo, 8)}`;
}
