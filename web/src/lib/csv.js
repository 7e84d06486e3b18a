// Splits CSV (RFC 4180, or with ';' or tabs) into records, with the rules of `herald import`, so that both
// accept and refuse the same rows. Works on bytes: a file may be cut anywhere.

const QUOTE = 0x22;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const FIELDS_MAX = 64;

/** The separator that the header line uses. */
export function separatorOf(data) {
	let quoted = false;
	for (const c of data) {
		if (c === NEWLINE)
			break;
		if (c === QUOTE)
			quoted = !quoted;
		else if (!quoted && (c === 0x2c || c === 0x3b || c === 0x09))
			return c;
	}
	return 0x2c;
}

function countNewlines(data, from, to) {
	let n = 0;
	for (let i = data.indexOf(NEWLINE, from); i >= 0 && i < to; i = data.indexOf(NEWLINE, i + 1))
		n++;
	return n;
}

/** The bytes of a quoted field, doubled quotes joined. */
function joinQuotes(bytes) {
	const out = new Uint8Array(bytes.length);
	let n = 0;
	for (let i = 0; i < bytes.length; i++) {
		out[n++] = bytes[i];
		if (bytes[i] === QUOTE)
			i++;
	}
	return out.subarray(0, n);
}

function badLine(data, from, atEnd, why) {
	const newline = data.indexOf(NEWLINE, from);
	if (newline < 0 && !atEnd)
		return null;
	return { why, next: newline < 0 ? data.length : newline + 1, newlines: newline < 0 ? 0 : 1 };
}

function closingQuote(data, from, atEnd) {
	let doubled = false;
	for (let i = data.indexOf(QUOTE, from); i >= 0; i = data.indexOf(QUOTE, i + 2)) {
		if (i + 1 === data.length)
			return atEnd ? { at: i, doubled } : null;
		if (data[i + 1] !== QUOTE)
			return { at: i, doubled };
		doubled = true;
	}
	return null;
}

/**
 * The record that begins at data[from]: {fields, next, newlines}, {why, next, newlines} for a line that is no
 * CSV (the next begins behind its end), {blank: true, …}, or null when it does not end in what is at hand.
 * Fields are views into data, or copies where quotes had to be joined.
 */
export function splitRecord(data, from, atEnd, separator) {
	const fields = [];
	let newlines = 1;
	let at = from;
	for (;;) {
		if (fields.length === FIELDS_MAX)
			return badLine(data, from, atEnd, "more than 64 columns");
		if (data[at] === QUOTE) {
			const close = closingQuote(data, at + 1, atEnd);
			if (!close)
				return atEnd ? badLine(data, from, true, "a quote is not closed") : null;
			newlines += countNewlines(data, at + 1, close.at);
			const bytes = data.subarray(at + 1, close.at);
			fields.push(close.doubled ? joinQuotes(bytes) : bytes);
			at = close.at + 1;
			if (data[at] === RETURN) {
				if (at + 1 === data.length && !atEnd)
					return null;
				if (at + 1 === data.length || data[at + 1] === NEWLINE)
					at++;
			}
			if (at < data.length && data[at] !== separator && data[at] !== NEWLINE)
				return badLine(data, from, atEnd, "text behind a closing quote");
		} else {
			const start = at;
			while (at < data.length && data[at] !== separator && data[at] !== NEWLINE && data[at] !== QUOTE)
				at++;
			if (data[at] === QUOTE)
				return badLine(data, from, atEnd, "a quote inside an unquoted field");
			const ends = at === data.length ? atEnd : data[at] === NEWLINE;
			const strip = at > start && data[at - 1] === RETURN && ends ? 1 : 0;
			fields.push(data.subarray(start, at - strip));
		}
		if (at >= data.length || data[at] === NEWLINE)
			break;
		at++;
	}
	if (at >= data.length && !atEnd)
		return null;
	if (at >= data.length)
		newlines--;
	else
		at++;
	if (fields.length === 1 && !fields[0].length && data[from] !== QUOTE)
		return { blank: true, next: at, newlines };
	return { fields, next: at, newlines };
}
