// What a column's name means. The same names as `herald import` knows.

const NAMES = {
	phoneNumber: "phone, to, recipient, recipientPhone, recipientPhoneNumber, number, msisdn, mobile, gsm",
	content: "text, message, body, sms",
	sendAt: "scheduledAt, scheduleAt",
	idempotencyKey: "key",
	metadata: "meta",
	// What `herald export` writes beside; passed over.
	known: "id, status, attempts, messageId, sentAt, nextAttemptAt, lastError, createdAt, updatedAt",
};

const plain = (name) => name.replace(/[A-Z]/g, (c) => c.toLowerCase()).replace(/[_\- ]/g, "");

const byName = new Map();
for (const [column, aliases] of Object.entries(NAMES))
	for (const name of [column, ...aliases.split(", ")])
		byName.set(plain(name), column);

/** phoneNumber, content, sendAt, idempotencyKey, metadata, known, or undefined for a name of no meaning. */
export const columnOf = (name) => byName.get(plain(name));

export const aliasesOf = (column) => NAMES[column];
