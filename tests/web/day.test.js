// An operator's day in a real browser, from entering the keys to the end.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, open, shoot, signIn } from "./browser.js";
import { eventually, Herald, MESSAGES_KEY, Sink } from "./servers.js";

let herald, sink, browser, desk;

before(async () => {
	sink = await Sink.start();
	herald = await Herald.start({
		WEBHOOK_URL: sink.url, MESSAGE_SEND_INTERVAL: "1h", MESSAGE_BATCH_SIZE: "50", MAX_ATTEMPTS: "2",
	});
	browser = await launch();
	desk = await open(browser, herald.url);
});
after(async () => {
	await browser?.close();
	await herald?.stop();
	await sink?.stop();
});

const go = (page, name) => page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: false }).first().click();
const tile = (page, text) => page.getByRole("list", { name: "Messages by status" }).getByRole("link", { name: text, exact: true });

/** Stays the same for what the tests after this one need: the scheduler beats often, or hardly ever. */
async function pace(page, interval, batch) {
	await go(page, "Overview");
	await page.getByRole("button", { name: "Change the pace" }).click();
	await page.getByLabel("A beat every").fill(interval);
	if (batch)
		await page.getByLabel("Messages in a beat").fill(batch);
	await page.getByRole("button", { name: "Change the pace" }).last().click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
}

test("a wrong key is refused where it is entered", async () => {
	const { page } = desk;
	await page.getByLabel("Messages key").fill("not-the-key");
	await page.getByRole("button", { name: "Open the dashboard" }).click();
	await page.getByText("The server does not accept this as its messages key.").waitFor();
	await shoot(page, "day-01-wrong-key");
});

test("with the keys, the dashboard opens and shows the scheduler", async () => {
	const { page } = desk;
	await signIn(page);
	await page.getByRole("heading", { name: "Scheduler is running" }).waitFor();
	await page.getByText("Up to 50 messages every 1h").waitFor();
	assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage).filter((k) => /key/i.test(k)), document.cookie]), [[], ""]);
	await shoot(page, "day-02-overview");
});

test("one key opens its part; the rest says what is missing", async () => {
	const { page, close } = await open(browser, herald.url);
	await signIn(page, { messages: MESSAGES_KEY });
	await page.getByText("This needs the scheduler key").waitFor();
	await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Messages" }).first().click();
	await page.getByText("No messages yet").waitFor();
	await shoot(page, "day-03-one-key");
	await close();
});

test("a message is written, with what is wrong said beside the field", async () => {
	const { page } = desk;
	await go(page, "New message");
	await page.getByLabel("Phone number").fill("0555");
	await page.getByRole("button", { name: "Send message" }).click();
	await page.getByText("This is not an international phone number.").waitFor();
	await page.getByText("Write something.").waitFor();
	await page.getByLabel("Phone number").fill("+90 555 123 45 67");
	await page.getByRole("textbox", { name: "Message", exact: true }).fill("Günaydın! 👋");
	await page.getByRole("button", { name: "Send message" }).click();
	await page.getByText(/Message #1 is accepted/).waitFor();
	await shoot(page, "day-04-new-message");
	assert.equal((await herald.get(1)).content, "Günaydın! 👋");
});

test("explain says when it will go", async () => {
	const { page } = desk;
	await page.getByRole("link", { name: "#1" }).click();
	const why = page.getByRole("region", { name: "Why it is where it is" });
	await why.waitFor();
	assert.match(await why.textContent(), /beat|interval|scheduler/i);
	await shoot(page, "day-05-explain-pending");
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
});

const CSV = `phone;text;sendAt
+905550000001;first row;
+905550000002;"with ; and ""quotes""";
05550000003;bad phone;
+905550000004;;
+905550000005;${"x".repeat(2000)};
+905550000006;last row;2020-01-01T00:00:00Z
`;

test("a file is looked through before anything is created", async () => {
	const { page } = desk;
	await go(page, "Import");
	await page.getByLabel("CSV file").setInputFiles({ name: "customers of may.csv", mimeType: "text/csv", buffer: Buffer.from(CSV) });
	const bad = page.getByRole("region", { name: "Rows that cannot be sent" });
	await bad.waitFor();
	assert.deepEqual((await bad.locator("tbody tr").allTextContents()).map((t) => t.slice(0, 14)),
		["4phoneNumber: “".slice(0, 14), "5content: is missing".slice(0, 14)]);
	assert.equal((await herald.stats()).total, 1);
	await shoot(page, "day-06-import-preview");
	// Only with consent are bad rows left out.
	await page.getByRole("button", { name: "Import 4 messages" }).click({ force: true });
	assert.equal((await herald.stats()).total, 1);
});

test("the good rows are imported; what the server refuses is named by its line", async () => {
	const { page } = desk;
	await page.getByLabel(/Leave the 2 bad rows out/).check();
	await page.getByRole("button", { name: "Import 4 messages" }).click();
	await page.getByText("3 messages created").waitFor();
	const refused = page.getByRole("region", { name: "Rows that the server refused" });
	assert.match(await refused.locator("tbody tr").textContent(), /^6content: /);
	await shoot(page, "day-07-import-done");
	assert.equal((await herald.stats()).total, 4);
});

test("the same file again creates nothing, here or with the command", async () => {
	const { page } = desk;
	await page.getByRole("button", { name: "Another file" }).click();
	await page.getByLabel("CSV file").setInputFiles({ name: "customers of may.csv", mimeType: "text/csv", buffer: Buffer.from(CSV) });
	await page.getByLabel(/Leave the 2 bad rows out/).check();
	await page.getByRole("button", { name: "Import 4 messages" }).click();
	await page.getByText("0 messages created, 3 were there already.").waitFor();
	const fs = await import("node:fs/promises");
	await fs.writeFile(`${herald.dir}/customers of may.csv`, CSV);
	await herald.run("import", "customers of may.csv", "--skip-bad");
	assert.equal((await herald.stats()).total, 4);
});

test("with another pace they leave, and one watches it", async () => {
	const { page } = desk;
	await pace(page, "200ms");
	await page.getByText("Up to 50 messages every 200ms").waitFor();
	await tile(page, "sent 4").waitFor();
	assert.equal(sink.requests.length, 4);
	assert.deepEqual(sink.json.map((m) => m.content).sort(), ["Günaydın! 👋", "first row", "last row", "with ; and \"quotes\""]);
	await page.locator(".feed").getByRole("link", { name: "#1", exact: true }).waitFor();
	await shoot(page, "day-08-sent");
});

test("stopped means that nothing leaves; a message can then be cancelled", async () => {
	const { page } = desk;
	await page.getByRole("button", { name: "Stop" }).click();
	await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
	await page.getByRole("heading", { name: "Scheduler is stopped" }).waitFor();
	const { id } = await herald.create("will be cancelled");
	await page.goto(`${herald.url}/#/messages?id=${id}`);
	await page.getByRole("region", { name: "Why it is where it is" }).getByText(/stopped/).first().waitFor();
	await shoot(page, "day-09-explain-stopped");
	await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
	await page.getByRole("button", { name: "Cancel it" }).click();
	await page.getByRole("heading", { name: `Cancel message ${id}?` }).waitFor({ state: "detached" });
	await page.getByRole("dialog").getByText("cancelled", { exact: true }).first().waitFor();
	assert.equal((await herald.get(id)).status, "cancelled");
	await page.keyboard.press("Escape");
	assert.equal(sink.requests.length, 4);
});

test("a failing receiver: messages fail, and the page says why", async () => {
	const { page } = desk;
	sink.answer = () => ({ status: 503, body: { error: "out for lunch" } });
	await herald.createMany(Array.from({ length: 30 }, (_, i) => `unlucky ${i}`));
	await go(page, "Overview");
	await page.getByRole("button", { name: "Start" }).click();
	await page.getByRole("heading", { name: "Scheduler is running" }).waitFor();
	await tile(page, "failed 30").waitFor();
	await page.getByText(/every message failed/).waitFor();
	await shoot(page, "day-10-failing");
	await tile(page, "failed 30").click();
	await page.locator("table.messages tbody tr a").first().click();
	const dialog = page.getByRole("dialog");
	await dialog.getByText("HTTP 503").first().waitFor();
	await dialog.locator(".timeline li").nth(1).waitFor();
	assert.equal(await dialog.locator(".timeline li").count(), 2);
	await shoot(page, "day-11-explain-failed");
	await dialog.getByRole("button", { name: "Close" }).click();
});

test("well again: one, then some, then all are replayed", async () => {
	const { page } = desk;
	sink.answer = () => ({});
	await page.locator("table.messages tbody tr a").first().click();
	await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
	await page.getByRole("dialog").getByText("sent", { exact: true }).first().waitFor();
	await page.keyboard.press("Escape");
	await herald.until({ failed: 29 });
	await page.getByText("Page 1 of 2, 29 messages").waitFor();
	for (const n of [0, 1, 2])
		await page.locator("table.messages tbody input").nth(n).check();
	await page.getByRole("button", { name: "Replay 3" }).click();
	await herald.until({ failed: 26 });
	await page.getByRole("button", { name: /Replay all failed/ }).click();
	await page.getByRole("button", { name: "Replay all", exact: true }).click();
	await herald.until({ failed: 0, sent: 34 });
	await page.getByText("No message is like this").waitFor();
	await shoot(page, "day-12-replayed");
});

test("some are cancelled at once", async () => {
	const { page } = desk;
	await herald.api("POST", "/api/v1/scheduler/stop");
	await herald.createMany(["a", "b", "c"]);
	await page.goto(`${herald.url}/#/messages?status=pending`);
	await page.getByText("Page 1 of 1, 3 messages").waitFor();
	await page.getByLabel("Select all on this page").check();
	await page.getByRole("button", { name: "Cancel 3" }).click();
	await page.getByRole("button", { name: "Cancel them" }).click();
	await herald.until({ cancelled: 4, pending: 0 });
	await page.getByText("No message is like this").waitFor();
});

test("a search finds a number and an id", async () => {
	const { page } = desk;
	await go(page, "Messages");
	const box = page.getByLabel("Phone number or message id");
	await box.fill("+90 555 000 00 02");
	await box.press("Enter");
	await page.getByText("Page 1 of 1, 1 message").waitFor();
	await page.getByLabel("Phone number or message id").fill("1");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "Message #1" }).waitFor();
	await page.keyboard.press("Escape");
});

test("run now beats once, and is told when it is too early", async () => {
	const { page } = desk;
	await herald.create("by hand");
	await herald.api("POST", "/api/v1/scheduler/stop", { interval: "2s" });
	await go(page, "Overview");
	await page.getByText("every 2s").waitFor();
	await eventually(async () => {
		await page.getByRole("button", { name: "Run now" }).click();
		return (await herald.stats()).sent === 35;
	}, "the run");
	await herald.api("POST", "/api/v1/scheduler/stop", { interval: "1h" });
	await page.getByRole("button", { name: "Run now" }).click();
	await page.getByText(/Too early/).first().waitFor();
});

test("runs, nodes, health and cache have their pages", async () => {
	const { page } = desk;
	await go(page, "Runs");
	await page.locator("table tbody tr").first().waitFor();
	await shoot(page, "day-13-runs");
	await go(page, "Nodes");
	await page.getByRole("heading", { name: "web-test" }).waitFor();
	await shoot(page, "day-14-nodes");
	await go(page, "Health");
	await page.getByText("Everything is well").waitFor();
	await shoot(page, "day-15-health");
	await go(page, "Cache");
	await page.locator("table tbody tr").first().waitFor();
	await shoot(page, "day-16-cache");
});

test("dark mode is a matter of one click, and stays", async () => {
	const { page } = desk;
	const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await colour();
	await page.getByRole("radio", { name: "dark" }).click({ force: true });
	await eventually(async () => (await colour()) !== light, "another colour");
	const chosen = await colour();
	await page.reload();
	await page.getByRole("heading", { name: "Cache" }).waitFor();
	assert.equal(await colour(), chosen);
	await go(page, "Overview");
	await page.locator(".chart").first().waitFor();
	await shoot(page, "day-17-dark");
});

test("signing out forgets the keys", async () => {
	const { page, close } = desk;
	await page.getByRole("button", { name: /Sign out/ }).click();
	await page.getByLabel("Messages key").waitFor();
	assert.equal(await page.evaluate(() => sessionStorage.length), 0);
	await shoot(page, "day-18-signed-out");
	await close();
});
