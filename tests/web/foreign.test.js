// A page of another site, open in the same browser, can neither steer herald nor read from it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { BOTH, launch, open } from "./browser.js";
import { Herald, SCHEDULER_KEY } from "./servers.js";

let herald, browser, foreign, foreignUrl;

before(async () => {
	herald = await Herald.start({ MESSAGE_SEND_INTERVAL: "1h" });
	browser = await launch();
	foreign = createServer((q, a) => {
		a.setHeader("Content-Type", "text/html");
		a.end("<!doctype html><title>another site</title>");
	}).listen(0, "127.0.0.1");
	await once(foreign, "listening");
	foreignUrl = `http://localhost:${foreign.address().port}/`; // another host name, so another site
});
after(async () => {
	await browser?.close();
	foreign?.closeAllConnections();
	foreign?.close();
	await herald?.stop();
});

/** On the other site: what a request ends with. */
const attempt = (page, path, init) => page.evaluate(async ([url, options]) => {
	try {
		const answer = await fetch(url, options);
		return { type: answer.type, text: await answer.text() };
	} catch (error) {
		return { error: error.name };
	}
}, [herald.url + path, init]);

test("it reads nothing, even with a key", async () => {
	const context = await browser.newContext();
	const page = await context.newPage();
	await page.goto(foreignUrl);
	for (const path of ["/api/v1/scheduler/status", "/api/v1/messages", "/api/v1/events", "/health", "/", "/openapi.json"]) {
		assert.deepEqual(await attempt(page, path, {}), { error: "TypeError" }, path);
		assert.deepEqual(await attempt(page, path, { headers: { "x-ins-auth-key": SCHEDULER_KEY } }), { error: "TypeError" }, path);
		const opaque = await attempt(page, path, { mode: "no-cors" });
		assert.ok(opaque.error || (opaque.type === "opaque" && opaque.text === ""), path);
	}
	await context.close();
});

test("it starts and stops nothing", async () => {
	const { page: own, context, close } = await open(browser, herald.url, { keys: BOTH });
	await own.getByRole("heading", { name: "Scheduler is running" }).waitFor();
	const page = await context.newPage(); // the same browser, where somebody is signed in
	await page.goto(foreignUrl);
	for (const init of [
		{ method: "POST" }, { method: "POST", mode: "no-cors" }, { method: "POST", credentials: "include", mode: "no-cors" },
		{ method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: "{}" },
		{ method: "POST", headers: { "x-ins-auth-key": SCHEDULER_KEY } },
	])
		await attempt(page, "/api/v1/scheduler/stop", init);
	await page.evaluate((url) => {
		const form = document.createElement("form");
		form.method = "post";
		form.action = url;
		document.body.append(form);
		form.submit();
	}, `${herald.url}/api/v1/scheduler/stop`);
	await page.waitForURL(`${herald.url}/**`); // where the form leads: it has been answered
	assert.equal((await herald.status()).running, true);
	assert.deepEqual(await context.cookies(), []);
	await page.close();
	await close();
});

test("even the right key is refused when the Origin is another", async () => {
	const answer = await fetch(`${herald.url}/api/v1/scheduler/stop`, {
		method: "POST", headers: { "x-ins-auth-key": SCHEDULER_KEY, Origin: foreignUrl.slice(0, -1) },
	});
	assert.equal(answer.status, 403);
	assert.equal((await herald.status()).running, true);
});

test("it cannot put the dashboard into a frame", async () => {
	const context = await browser.newContext();
	const page = await context.newPage();
	await page.goto(foreignUrl);
	const refused = page.waitForEvent("requestfailed");
	await page.evaluate((url) => {
		const frame = document.createElement("iframe");
		frame.src = url;
		document.body.append(frame);
	}, herald.url);
	assert.equal((await refused).url(), `${herald.url}/`);
	assert.equal((await refused).failure().errorText, "net::ERR_BLOCKED_BY_RESPONSE");
	await context.close();
});
