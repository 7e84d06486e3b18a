// Whatever a message says passes from the API through the store to the webhook and the dashboard as it is, and does
// nothing there.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, open, shoot } from "./browser.js";
import { NAUGHTY } from "./naughty.js";
import { Herald, Sink } from "./servers.js";

const texts = NAUGHTY.map((n) => n.text);
let herald, sink, browser, ids;

before(async () => {
	sink = await Sink.start();
	herald = await Herald.start({ WEBHOOK_URL: sink.url });
	ids = await herald.createMany(texts, { metadata: { "<img src=x onerror=window.executed=1>": "\u202e</pre><script>window.executed=1</script>" } });
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
	await sink?.stop();
});

test("there are several hundred naughty strings", () => {
	assert.ok(texts.length > 500, `${texts.length}`);
});

test("the store gives back what the API took", async () => {
	for (const [i, id] of ids.entries())
		assert.equal((await herald.get(id)).content, texts[i]);
});

test("the webhook gets what the API took, as valid UTF-8", async () => {
	await herald.until({ sent: texts.length });
	const got = sink.requests.map((r) => JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(r.body)));
	assert.deepEqual(got.map((m) => m.content).sort(), [...texts].sort());
	for (const m of got)
		assert.deepEqual(Object.keys(m), ["to", "content"]);
});

test("the list shows every one as text, and runs none", async () => {
	const { page, close } = await open(browser, herald.url, { keys: BOTH, hash: "/#/messages" });
	const seen = new Map();
	for (let n = 1; ; n++) {
		const label = page.getByText(new RegExp(`^Page ${n} of `));
		await label.waitFor();
		const rows = await page.locator("table.messages tbody tr").evaluateAll((all) => all.map((tr) => {
			const cell = tr.querySelector(".message-cell .cut");
			return [Number(/#(\d+)/.exec(tr.lastElementChild.textContent)[1]), cell.textContent, cell.childElementCount];
		}));
		for (const [id, text, children] of rows) {
			seen.set(id, text);
			assert.equal(children, 0, `message ${id} has become markup`);
		}
		// By what the page says: its button is off, too, while the list is being loaded again.
		if (n === Number(/ of (\d+),/.exec(await label.textContent())[1]))
			break;
		await page.getByRole("button", { name: "Older" }).click();
	}
	await shoot(page, "naughty-list");
	for (const [i, id] of ids.entries())
		assert.equal(seen.get(id), texts[i]);
	assert.equal(await page.evaluate(() => window.executed), undefined);
	await close();
});

test("the details show some of every kind as text, and run none", async () => {
	const { page, close } = await open(browser, herald.url, { keys: BOTH, hash: "/#/messages" });
	const kinds = new Map();
	for (const [i, { kind }] of NAUGHTY.entries())
		kinds.set(kind, [...(kinds.get(kind) ?? []), i]);
	for (const indexes of kinds.values())
		for (const i of indexes.filter((_, k) => k % Math.ceil(indexes.length / 3) === 0)) {
			await page.evaluate((id) => { location.hash = `#/messages?id=${id}`; }, ids[i]);
			await page.getByRole("heading", { name: `Message #${ids[i]}`, level: 2 }).waitFor();
			const content = page.locator("dialog .content");
			await content.waitFor();
			assert.equal(await content.evaluate((e) => e.textContent), texts[i]);
			assert.equal(await content.evaluate((e) => e.childElementCount), 0);
			assert.equal(await page.locator("dialog pre").evaluate((e) => e.childElementCount), 0);
		}
	await shoot(page, "naughty-details");
	assert.equal(await page.evaluate(() => window.executed), undefined);
	await close();
});
