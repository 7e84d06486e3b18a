// The routes of the messages key.
import { query, request } from "./client.js";

const base = "/api/v1/messages";

export const stats = (signal) => request("messages", "GET", `${base}/stats`, { signal }).then((a) => a.data);
export const list = (filters, signal) => request("messages", "GET", base + query(filters), { signal });
export const get = (id, signal) => request("messages", "GET", `${base}/${id}`, { signal }).then((a) => a.data);
export const attempts = (id, signal) =>
	request("messages", "GET", `${base}/${id}/attempts`, { signal }).then((a) => a.data);
export const explain = (id, signal) =>
	request("messages", "GET", `${base}/${id}/explain`, { signal }).then((a) => a.data);
export const create = (draft) => request("messages", "POST", base, { body: draft }).then((a) => a.data);
export const cancel = (id) => request("messages", "DELETE", `${base}/${id}`).then((a) => a.data);
export const replay = (id) => request("messages", "POST", `${base}/${id}/replay`).then((a) => a.data);
export const replayAll = () => request("messages", "POST", `${base}/replay/all`).then((a) => a.data);
export const cached = (parameters, signal) =>
	request("messages", "GET", `${base}/cached${query(parameters)}`, { signal });

/** drafts: up to 10,000; {created, repeated} */
export const createMany = (drafts, signal) =>
	request("messages", "POST", `${base}/batch`, {
		body: drafts, signal, headers: { Prefer: "return=minimal" },
	}).then((a) => a.data);
