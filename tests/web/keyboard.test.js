// Everything with the keyboard alone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BOTH, launch, open, shoot } from "./browser.js";
import { eventually, Herald, MESSAGES_KEY, SCHEDULER_KEY, Sink } from "./servers.js";

let herald, sink, browser;

before(async () => {
	sink = await Sink.start();
	herald = await Herald.start({ WEBHOOK_URL: sink.url, MESSAGE_SEND_INTERVAL: "1h" });
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
	await sink?.stop();
});

/** What has the focus: its name as a screen reader would say it, roughly. */
const focused = (page) => page.evaluate(() => {
	const e = document.activeElement;
	const label = e.labels?.[0]?.textContent ?? e.getAttribute("aria-label") ?? e.textContent ?? "";
	return label.trim();
});

/** The focus goes to the heading of a view that is opened, a moment after it is there. */
async function onHeading(page, name) {
	const heading = page.getByRole("heading", { name, level: 1 });
	await heading.waitFor();
	await eventually(() => heading.evaluate((e) => e === document.activeElement), `the focus on the heading “${name}”`);
}

/** Presses Tab until something so named has the focus, and sees that the focus can be seen on the way. */
async function tabTo(page, name, most = 60) {
	for (let i = 0; i < most; i++) {
		await page.keyboard.press("Tab");
		const visible = await page.evaluate(() => {
			const e = document.activeElement;
			const outlined = (x) => x && getComputedStyle(x).outlineStyle !== "none" && parseFloat(getComputedStyle(x).outlineWidth) >= 2;
			return e === document.body || outlined(e) || outlined(e.closest("label"));
		});
		assert.ok(visible, `the focus on “${await focused(page)}” cannot be seen`);
		if (name.test(await focused(page)))
			return;
	}
	throw new Error(`Tab does not lead to ${name}`);
}

test("from the keys to a message that is written, found and cancelled", async () => {
	const { page, close } = await open(browser, herald.url);
	await page.getByLabel("Messages key").waitFor();
	await tabTo(page, /Messages key/);
	await page.keyboard.type(MESSAGES_KEY);
	await tabTo(page, /Scheduler key/);
	await page.keyboard.type(SCHEDULER_KEY);
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "Scheduler is running" }).waitFor();

	await tabTo(page, /^New message/);
	await page.keyboard.press("Enter");
	await onHeading(page, "New message");
	await tabTo(page, /^Phone number/);
	await page.keyboard.type("+905551234567");
	await tabTo(page, /^Message$/);
	await page.keyboard.type("typed");
	await tabTo(page, /^Send message/);
	await page.keyboard.press("Enter");
	await page.getByText(/Message #1 is accepted/).waitFor();

	await page.getByRole("heading", { level: 1 }).focus();
	await page.keyboard.press("g");
	await page.keyboard.press("m");
	await onHeading(page, "Messages");
	await page.locator("table.messages tbody tr").waitFor();
	await page.keyboard.press("j");
	assert.match(await focused(page), /\+905551234567/);
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "Message #1" }).waitFor();
	await page.getByRole("button", { name: "Cancel", exact: true }).waitFor();
	await tabTo(page, /^Cancel$/);
	await page.keyboard.press("Enter");
	const sure = page.getByRole("heading", { name: "Cancel message 1?" });
	await sure.waitFor();
	await tabTo(page, /^Cancel it$/);
	await page.keyboard.press("Enter");
	await sure.waitFor({ state: "detached" });
	await page.getByRole("dialog").getByText("cancelled", { exact: true }).first().waitFor();
	await shoot(page, "keyboard-cancelled");
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	assert.match(await focused(page), /\+905551234567/, "the focus goes back to where it was");
	assert.equal((await herald.get(1)).status, "cancelled");
	await close();
});

test("the focus stays in a dialog, and Esc closes it", async () => {
	const { page, close } = await open(browser, herald.url, { keys: BOTH });
	await page.getByRole("button", { name: "Change the pace" }).waitFor();
	await tabTo(page, /^Change the pace/);
	await page.keyboard.press("Enter");
	await page.getByRole("dialog").waitFor();
	for (let i = 0; i < 30; i++) {
		await page.keyboard.press(i % 7 === 6 ? "Shift+Tab" : "Tab");
		assert.ok(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement.closest("dialog"))));
	}
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	assert.match(await focused(page), /^Change the pace/);
	await close();
});

test("the shortcuts are listed, and can be turned off", async () => {
	const { page, close } = await open(browser, herald.url, { keys: BOTH });
	await page.locator(".scheduler").waitFor();
	await page.keyboard.press("?");
	await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
	await shoot(page, "keyboard-help");
	await page.getByLabel("Single keys are shortcuts").uncheck();
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await page.keyboard.press("?");
	await page.keyboard.press("n");
	assert.equal(await page.getByRole("dialog").count(), 0);
	assert.equal(await page.evaluate(() => location.hash), "");
	await close();
});

test("the first Tab leads past the navigation", async () => {
	const { page, close } = await open(browser, herald.url, { keys: BOTH });
	await page.locator(".scheduler").waitFor();
	await page.keyboard.press("Tab");
	assert.equal(await focused(page), "Skip to the content");
	await page.keyboard.press("Enter");
	assert.equal(await focused(page), "Overview");
	await close();
});
