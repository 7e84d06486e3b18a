// The figures for the charts; see docs/api.md. Either key opens them.
import { whyNot } from "../state/keys.js";
import { query, request } from "./client.js";

export const history = (parameters, signal) =>
	request(whyNot("messages") ? "scheduler" : "messages", "GET", `/api/v1/stats/history${query(parameters)}`, { signal })
		.then((a) => a.data);
