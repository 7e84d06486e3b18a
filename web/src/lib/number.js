// Numbers as people read them.

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n) => whole.format(n);

/** 950, 12,300, 1.2M: what fits where there is little room. */
export const brief = (n) => (n < 100000 ? whole.format(n) : compact.format(n));

export const percent = (share) => `${+(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

/** plural(3, "message") is "3 messages". */
export const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
	const units = ["B", "kB", "MB", "GB", "TB"];
	let i = 0;
	for (; n >= 1000 && i < units.length - 1; i++)
		n /= 1000;
	return `${n < 10 && i ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
