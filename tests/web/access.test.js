// axe finds nothing to object to, on any page, in light and dark, wide and narrow.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, objections, open, shoot, tooWide, VIEWS } from "./browser.js";
import { Herald, Sink } from "./servers.js";

let herald, sink, browser, ids;

before(async () => {
	sink = await Sink.start((r) => (/unlucky/.test(r.body) ? { status: 400 } : {}));
	herald = await Herald.start({ WEBHOOK_URL: sink.url, MESSAGE_SEND_INTERVAL: "300ms" });
	ids = await herald.createMany(["a message", "unlucky", "مرحبا", ...Array.from({ length: 40 }, (_, i) => `number ${i}`)],
		{ metadata: { campaign: "spring" } });
	await herald.until({ pending: 0, sending: 0 });
	await herald.api("POST", "/api/v1/scheduler/stop", { interval: "1h", failureRate: 0.1 });
	ids.push((await herald.create("waits")).id);
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
	await sink?.stop();
});

const dialogOpen = (p) => p.getByRole("dialog").waitFor();

/** Name, address, and how to get there. */
const STATES = [
	["sign-in", null, (p) => p.getByLabel("Messages key").waitFor()],
	...Object.entries(VIEWS).map(([name, ready]) => [name, `#/${name}`, async (p) => {
		await ready(p);
		if (name === "overview")
			await p.locator(".chart .uplot").first().waitFor();
	}]),
	["message-sent", () => `#/messages?id=${ids[0]}`, async (p) => { await p.locator("dialog .explain").waitFor(); }],
	["message-failed", () => `#/messages?id=${ids[1]}`, async (p) => { await p.locator("dialog .explain").waitFor(); }],
	["message-pending", () => `#/messages?id=${ids.at(-1)}`, async (p) => { await p.locator("dialog .explain").waitFor(); }],
	["selected", "#/messages?status=failed", async (p) => {
		await p.getByLabel("Select all on this page").check();
		await p.locator(".bulk").waitFor();
	}],
	["nothing-found", "#/messages?status=unknown", (p) => p.getByText("No message is like this").waitFor()],
	["replay-all", "#/messages", async (p) => {
		await p.getByRole("button", { name: /Replay all failed/ }).click();
		await dialogOpen(p);
	}],
	["pace", "#/overview", async (p) => {
		await p.getByRole("button", { name: "Change the pace" }).click();
		await dialogOpen(p);
	}],
	["help", "#/health", async (p) => {
		await p.locator(".overall").waitFor();
		await p.keyboard.press("?");
		await dialogOpen(p);
	}],
	["new-wrong", "#/new", async (p) => {
		await p.getByRole("button", { name: "Send message" }).click();
		await p.getByText("Enter a phone number.").waitFor();
	}],
	["import-preview", "#/import", async (p) => {
		await p.getByLabel("CSV file").setInputFiles({
			name: "rows.csv", mimeType: "text/csv", buffer: Buffer.from("phone,text\n+905551234567,good\nbad,row\n"),
		});
		await p.getByText("Leave the 1 bad row out").waitFor();
	}],
];

for (const size of ["desktop", "phone"])
	for (const dark of [false, true])
		test(`${size}, ${dark ? "dark" : "light"}: every page`, async () => {
			const { page, close } = await open(browser, herald.url, { size, dark });
			const found = [];
			for (const [name, hash, ready] of STATES) {
				if (hash) {
					// A page of its own for each, so that nothing is left open from the one before.
					await page.evaluate((k) => sessionStorage.setItem("herald.keys", JSON.stringify(k)), BOTH);
					await page.goto(`${herald.url}/?${name}${typeof hash === "function" ? hash() : hash}`);
				}
				await ready(page);
				found.push(...[...await tooWide(page), ...await objections(page)].map((o) => `${name}: ${o}`));
				await shoot(page, `view-${name}-${size}-${dark ? "dark" : "light"}`);
			}
			assert.deepEqual(found, []);
			await close();
		});

test("on a phone, the menu opens and leads somewhere", async () => {
	const { page, close } = await open(browser, herald.url, { size: "phone", keys: BOTH });
	await page.getByRole("button", { name: "Menu" }).click();
	await dialogOpen(page);
	assert.deepEqual(await objections(page), []);
	await shoot(page, "phone-menu");
	await page.getByRole("dialog").getByRole("link", { name: "Runs" }).click();
	await page.getByRole("heading", { name: "Runs", level: 1 }).waitFor();
	assert.equal(await page.getByRole("dialog").count(), 0);
	await close();
});
