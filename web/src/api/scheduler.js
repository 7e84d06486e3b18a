// The routes of the scheduler key.
import { query, request } from "./client.js";

const base = "/api/v1/scheduler";

export const status = (signal) => request("scheduler", "GET", `${base}/status`, { signal }).then((a) => a.data);
export const start = (change) => request("scheduler", "POST", `${base}/start`, { body: change });
export const stop = (change) => request("scheduler", "POST", `${base}/stop`, { body: change });
export const runNow = () => request("scheduler", "POST", `${base}/run`);
export const runs = (parameters, signal) => request("scheduler", "GET", `${base}/runs${query(parameters)}`, { signal });
export const nodes = (signal) => request("scheduler", "GET", "/api/v1/nodes", { signal }).then((a) => a.data);
