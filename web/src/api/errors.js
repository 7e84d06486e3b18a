// What can go wrong with a request, in words that say what to do.

export class ApiError extends Error {
	/** status 0: no answer came. body: what the server said, if it was JSON. */
	constructor(status, body, retryAfter) {
		super(body?.error ?? (status ? `The server answered ${status}.` : "The server cannot be reached."));
		this.status = status;
		this.code = body?.code;
		this.details = body?.details ?? {};
		this.retryAfter = retryAfter;
	}

	/** The text for a person, with the details that belong to no field. */
	get advice() {
		if (this.status === 0)
			return "The server cannot be reached. It may be starting again; this page tries by itself.";
		if (this.status === 401)
			return "The key was refused. Enter it again.";
		if (this.status === 503)
			return `The server cannot do this right now (${this.message.toLowerCase()}). Try again in ${this.retryAfter ?? "a few"} seconds.`;
		const details = Object.entries(this.details).map(([k, v]) => `${k} ${v}`);
		return details.length ? `${this.message}: ${details.slice(0, 5).join("; ")}` : this.message;
	}
}

export const adviceOf = (error) => error.advice ?? error.message;
