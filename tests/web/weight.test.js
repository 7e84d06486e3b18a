// What the first load costs, over the wire, and that it comes from this server alone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, open, VIEWS } from "./browser.js";
import { eventually, Herald } from "./servers.js";

const MOST = 150_000;
let herald, browser;

before(async () => {
	herald = await Herald.start();
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
});

/**
 * What the first load brings of pages and assets (not of the API), as the browser's network layer counts it. The page
 * before it, which the keys are entered on, has requests of its own (a favicon.ico), whose end is not always told once
 * it is left: each request names the loader of its page.
 */
async function weigh() {
	const { page, context, close } = await open(browser, `${herald.url}/livez`, { keys: BOTH });
	const cdp = await context.newCDPSession(page);
	const requests = [];
	let loader;
	cdp.on("Network.responseReceived", ({ requestId, loaderId, type, response }) => {
		if (type === "Document")
			loader = loaderId;
		if (!new URL(response.url).pathname.startsWith("/api/"))
			requests.push({ id: requestId, loader: loaderId, ...response });
	});
	const sizes = new Map();
	cdp.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
	await cdp.send("Network.enable");
	await page.goto(herald.url);
	await VIEWS.overview(page);
	await page.locator(".chart").first().waitFor();
	const files = () => requests.filter((r) => r.loader === loader);
	await eventually(() => files().every((f) => sizes.has(f.id)), "the end of what has begun to come");
	const total = files().reduce((sum, f) => sum + sizes.get(f.id), 0);
	return { total, files: files(), close };
}

test("the first load, up to the overview with its charts, is at most 150 kB", async (t) => {
	const { total, files, close } = await weigh();
	t.diagnostic(`${total} bytes`);
	assert.ok(total > 10_000 && total <= MOST, `${total} bytes`);
	for (const f of files.filter((r) => /\.(js|css)$/.test(new URL(r.url).pathname)))
		assert.match(f.headers["content-encoding"] ?? f.headers["Content-Encoding"] ?? "", /gzip|br|zstd/, f.url);
	await close();
});

test("the pages forbid what they do not need", async () => {
	const answer = await fetch(herald.url);
	const policy = answer.headers.get("content-security-policy");
	assert.equal(answer.status, 200);
	assert.match(policy, /default-src 'none'/);
	assert.match(policy, /script-src 'self'(;|$)/);
	assert.match(policy, /style-src 'self'(;|$)/);
	assert.doesNotMatch(policy, /unsafe/);
	const html = await answer.text();
	assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/i);
	assert.equal(answer.headers.get("set-cookie"), null);
});

test("assets may be kept for ever, the page itself may not", async () => {
	const page = await fetch(herald.url);
	const asset = /\/assets\/[^"]+\.js/.exec(await page.text())[0];
	assert.match((await fetch(herald.url + asset)).headers.get("cache-control"), /immutable/);
	assert.doesNotMatch(page.headers.get("cache-control"), /immutable/);
});
