// One request to the API: adds the key of the route's group, and turns every failure into an ApiError.
import { keyOf, refuse } from "../state/keys.js";
import { reached, unreached } from "../state/connection.js";
import { ApiError } from "./errors.js";

const TIMEOUT = 30000;

async function fetchAnswer(path, init) {
	try {
		const answer = await fetch(path, init);
		reached();
		return answer;
	} catch (error) {
		if (init.signal?.aborted && error.name === "AbortError")
			throw error;
		unreached();
		throw new ApiError(0);
	}
}

/** The headers that a request of this group carries. */
export function keyHeader(group) {
	const key = group && keyOf(group);
	return key ? { "x-ins-auth-key": key } : {};
}

/**
 * group: "messages", "scheduler" or null for what is open. Options: body (sent as JSON), headers, signal,
 * accept (statuses beside 2xx that are answers too). Returns the JSON of the answer.
 */
export async function request(group, method, path, { body, headers, signal, accept = [] } = {}) {
	const limit = AbortSignal.timeout(TIMEOUT);
	const answer = await fetchAnswer(path, {
		method,
		headers: {
			...keyHeader(group),
			...(body === undefined ? {} : { "Content-Type": "application/json" }),
			...headers,
		},
		body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
		signal: signal && AbortSignal.any ? AbortSignal.any([signal, limit]) : signal ?? limit,
		cache: "no-store",
		credentials: "omit",
	});
	const json = await answer.json().catch(() => null);
	if (answer.ok || accept.includes(answer.status))
		return json;
	if (group)
		refuse(group, answer.status, json);
	throw new ApiError(answer.status, json, answer.headers.get("Retry-After"));
}

/** {a: 1, b: ""} -> "?a=1" */
export function query(parameters) {
	const q = new URLSearchParams();
	for (const [name, value] of Object.entries(parameters))
		if (value !== undefined && value !== null && value !== "")
			q.set(name, value);
	const text = q.toString();
	return text && `?${text}`;
}
