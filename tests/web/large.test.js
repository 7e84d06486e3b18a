// Two hundred thousand messages: the list holds one page, and the next is there at once however far one has gone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, open, shoot } from "./browser.js";
import { Herald } from "./servers.js";

const ROWS = 200_000;
let herald, browser;

before(async () => {
	herald = await Herald.start({ MESSAGE_SEND_INTERVAL: "24h", AUTO_START_SCHEDULER: "false" });
	for (let i = 0; i < ROWS; i += 10_000)
		await herald.api("POST", "/api/v1/messages/batch",
			Array.from({ length: 10_000 }, (_, k) => ({ phoneNumber: `+90555${String(i + k).padStart(7, "0")}`, content: `row ${i + k}` })));
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
});

test("pages older and newer, and to the last one", async () => {
	const { page, requests, close } = await open(browser, herald.url, { keys: BOTH, hash: "/#/messages" });
	const first = () => page.locator("table.messages tbody tr").first().locator("td").last().textContent();
	await page.getByText("Page 1 of 8,000, 200,000 messages").waitFor();
	const newest = await first();
	for (let n = 2; n <= 20; n++) {
		await page.getByRole("button", { name: "Older" }).click();
		await page.getByText(`Page ${n} of 8,000`).waitFor();
		assert.equal(await page.locator("table.messages tbody tr").count(), 25);
	}
	for (let n = 19; n >= 1; n--) {
		await page.getByRole("button", { name: "Newer" }).click();
		await page.getByText(new RegExp(`^Page ${n} of 8,000`)).waitFor();
	}
	assert.equal(await first(), newest);
	await page.getByLabel("Go to page").fill("8000");
	await page.getByLabel("Go to page").press("Enter");
	await page.getByText("Page 8,000 of 8,000").waitFor();
	await page.getByText("#1", { exact: true }).waitFor();
	await shoot(page, "large-last-page");
	await page.getByRole("button", { name: "Newer" }).click();
	await page.getByText("Page 7,999 of 8,000").waitFor();
	// One page at a time, and never more of it than is shown.
	const lists = requests.filter((r) => /\/api\/v1\/messages\?/.test(r));
	assert.ok(lists.every((r) => new URL(r).searchParams.get("pageSize") === "25"));
	assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) < 2000);
	await close();
});

test("says how far it counted", async () => {
	const { page, close } = await open(browser, herald.url, {
		keys: BOTH, hash: "/#/messages?status=pending&since=2020-01-01T00:00:00Z",
	});
	await page.getByText("Page 1, 100,000+ messages").waitFor();
	await page.getByLabel("Go to page").fill("5000");
	await page.getByLabel("Go to page").press("Enter");
	await page.getByText("Page 5,000, 100,000+ messages").waitFor();
	await close();
});
