// A page that is left open while the server goes away and comes back.
import { after, before, test } from "node:test";
import { BOTH, launch, open, shoot } from "./browser.js";
import { Herald, Sink } from "./servers.js";

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

for (const signal of ["SIGTERM", "SIGKILL"])
	test(`the page says that the server is away, and recovers by itself (${signal})`, async () => {
		const { page, close } = await open(browser, herald.url, { keys: BOTH });
		await page.getByText("Live", { exact: true }).waitFor();
		await herald.down(signal);
		await page.getByText("The server cannot be reached.").waitFor();
		// Nor does it pretend to know when the next beat is.
		await page.getByRole("heading", { name: "Scheduler was running" }).waitFor();
		await page.getByRole("link", { name: "Not known the server is away" }).waitFor();
		await shoot(page, `restart-${signal}-away`);
		await herald.up();
		await page.getByRole("heading", { name: "Scheduler is running" }).waitFor();
		const before = (await herald.stats()).sent;
		await page.getByText("The server cannot be reached.").waitFor({ state: "detached" });
		await page.getByText("Live", { exact: true }).waitFor();
		// Nobody touches the page: what happens now appears on it.
		const { id } = await herald.create(`after ${signal}`);
		await herald.until({ sent: before + 1 });
		await page.locator(".feed").getByRole("link", { name: `#${id}`, exact: true }).waitFor();
		await page.getByRole("link", { name: `sent ${before + 1}` }).waitFor();
		await shoot(page, `restart-${signal}-back`);
		await close();
	});
