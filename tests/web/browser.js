// A Chromium with a page on the dashboard. Whatever page is opened here is watched: a request to another host, an
// error, or something that the Content-Security-Policy stopped fails the test that closes it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { MESSAGES_KEY, PATIENCE, SCHEDULER_KEY } from "./servers.js";

export const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = process.env.HERALD_WEB_SHOTS;

export const SIZES = {
	desktop: { width: 1360, height: 900 },
	phone: { width: 390, height: 844 },
};

// Root cannot use the sandbox, and a container's /dev/shm is small.
export const FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];

export const launch = (more = {}) => chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...(more.args ?? [])], timeout: 2 * PATIENCE });

/** The page and what it did: {page, requests, close()}. keys: those it is signed in with; none for the sign-in. */
export async function open(browser, url, { size = "desktop", dark = false, keys, hash = "", context: options } = {}) {
	const context = await browser.newContext({
		viewport: SIZES[size], colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", locale: "en-GB", ...options,
	});
	const page = await context.newPage();
	const requests = [];
	const faults = [];
	context.setDefaultTimeout(PATIENCE);
	page.on("request", (r) => requests.push(r.url()));
	page.on("pageerror", (e) => faults.push(`error: ${e.stack}`));
	page.on("dialog", (d) => {
		faults.push(`a dialog of the browser: ${d.message()}`);
		d.dismiss().catch(() => {});
	});
	page.on("console", (m) => {
		if (m.type() === "error" && !/Failed to load resource/.test(m.text()))
			faults.push(`console: ${m.text()}`);
	});
	if (keys)
		await page.addInitScript((k) => sessionStorage.setItem("herald.keys", JSON.stringify(k)), keys);
	await page.goto(url + hash);
	const close = async () => {
		const host = new URL(url).host;
		const foreign = requests.filter((r) => !r.startsWith("blob:") && !r.startsWith("data:") && new URL(r).host !== host);
		await context.close();
		assert.deepEqual(faults, []);
		assert.deepEqual(foreign, [], "requests to other hosts");
	};
	return { page, context, requests, faults, close };
}

export const BOTH = { messages: MESSAGES_KEY, scheduler: SCHEDULER_KEY };

/** What axe objects to, in words. The policy of the page forbids inline scripts; this one comes over the debugger. */
export async function objections(page) {
	await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
	const result = await page.evaluate(() => window.axe.run(document, {
		resultTypes: ["violations"],
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
	}));
	return result.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
}

/** A page that has to be scrolled sideways, in words. */
export async function tooWide(page) {
	const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
	return wide > 0 ? [`${wide} pixels wider than the screen`] : [];
}

/** A picture of the page among the test's output. */
export async function shoot(page, name) {
	if (!SHOTS)
		return;
	mkdirSync(SHOTS, { recursive: true });
	await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** Signs in as a person does. */
export async function signIn(page, keys = BOTH) {
	if (keys.messages)
		await page.getByLabel("Messages key").fill(keys.messages);
	if (keys.scheduler)
		await page.getByLabel("Scheduler key").fill(keys.scheduler);
	await page.getByRole("button", { name: "Open the dashboard" }).click();
	await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
}

/** What a view needs to be there before it is looked at. */
export const VIEWS = {
	overview: (p) => p.locator(".scheduler .ring").waitFor(),
	messages: (p) => p.locator("table.messages tbody tr").first().waitFor(),
	new: (p) => p.getByLabel("Phone number").waitFor(),
	import: (p) => p.getByRole("button", { name: "Choose a file" }).waitFor(),
	runs: (p) => p.locator("table tbody tr").first().waitFor(),
	nodes: (p) => p.locator(".node").first().waitFor(),
	health: (p) => p.locator(".overall").waitFor(),
	cache: (p) => p.locator("table tbody tr").first().waitFor(),
};
