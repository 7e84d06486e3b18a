// The API explorer: anybody can read and use it, on a phone and in the dark, too.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, objections, open, shoot, tooWide } from "./browser.js";
import { Herald, MESSAGES_KEY, Sink } from "./servers.js";

let herald, sink, browser;

before(async () => {
	sink = await Sink.start();
	herald = await Herald.start({ WEBHOOK_URL: sink.url });
	browser = await launch();
});
after(async () => {
	await browser?.close();
	await herald?.stop();
	await sink?.stop();
});

for (const size of ["desktop", "phone"])
	for (const dark of [false, true])
		test(`${size}, ${dark ? "dark" : "light"}: a message is sent with it`, async () => {
			const { page, close } = await open(browser, `${herald.url}/swagger/`, { size, dark });
			const found = [];
			const look = async (name) => {
				found.push(...[...await tooWide(page), ...await objections(page)].map((o) => `${name}: ${o}`));
				await shoot(page, `explorer-${name}-${size}-${dark ? "dark" : "light"}`);
			};
			const operation = page.locator("#operations-Messages-createMessage");
			await operation.waitFor();
			await page.getByRole("button", { name: "Authorize" }).first().click();
			const keys = page.getByRole("dialog", { name: "Keys" });
			await keys.waitFor();
			await look("keys");
			await keys.locator("input").first().fill(MESSAGES_KEY);
			await keys.getByRole("button", { name: "Authorize" }).first().click();
			await keys.getByRole("button", { name: "Logout" }).waitFor();
			await keys.getByRole("button", { name: "Close" }).last().click();

			// By keyboard, and its place is in the address.
			await operation.locator(".opblock-summary-control").focus();
			await page.keyboard.press("Enter");
			await operation.getByRole("textbox", { name: "Request body" }).waitFor();
			assert.equal(new URL(page.url()).hash, "#/Messages/createMessage");
			const content = `from the explorer, ${size} ${dark}`;
			await operation.getByRole("textbox", { name: "Request body" })
				.fill(JSON.stringify({ phoneNumber: "+905551234567", content }));
			await operation.getByRole("button", { name: "Execute" }).click();
			const answer = operation.locator(".live-responses-table .response");
			await answer.waitFor();
			assert.match(await answer.textContent(), /^201/);
			await look("executed");
			assert.deepEqual(found, []);
			assert.ok((await herald.api("GET", "/api/v1/messages")).some((m) => m.content === content));
			await close();
		});
