// What needs no key.
import { request } from "./client.js";

export const health = (signal) => request(null, "GET", "/health", { signal, accept: [503] });
export const ready = (signal) => request(null, "GET", "/readyz", { signal, accept: [503] });
export const about = (signal) => request(null, "GET", "/openapi.json", { signal }).then((a) => a.info);
