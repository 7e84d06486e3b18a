// Shows the document that lies beside this page. No other host is asked for anything.

/** swagger-ui puts a link into a button, which no keyboard and no screen reader can make sense of. The address changes
 *  all the same when the button is pressed. */
const PlainTitle = (system) => ({
	components: { DeepLink: ({ text }) => system.React.createElement("span", null, text) },
});

/** What, where, and as what it is known to who does not see it. */
const NAMES = [
	["#servers", { "aria-label": "Server" }],
	["textarea.body-param__text", { "aria-label": "Request body" }],
	[".close-modal", { "aria-label": "Close" }],
	[".auth-btn-wrapper button", { "aria-label": null }], // what they say is another word
	[".information-container", { role: "region", "aria-label": "About" }],
	[".schemes-server-container", { role: "region", "aria-label": "Server and keys" }],
	[".modal-ux", { role: "dialog", "aria-modal": "true", "aria-label": "Keys" }],
	["pre", { tabindex: "0" }], // it may be wider than the screen
];

/** Names for what swagger-ui leaves without one, and headings that skip no level. */
function name(root) {
	for (const [what, attributes] of NAMES)
		for (const element of root.querySelectorAll(what))
			for (const [attribute, value] of Object.entries(attributes))
				value === null ? element.removeAttribute(attribute) : element.setAttribute(attribute, value);
	for (const heading of root.querySelectorAll("h3, h4, h5"))
		heading.setAttribute("aria-level", heading.tagName[1] - 1);
}

window.addEventListener("DOMContentLoaded", () => {
	const root = document.getElementById("explorer");
	const wantsDark = matchMedia("(prefers-color-scheme: dark)");
	const colour = () => document.documentElement.classList.toggle("dark-mode", wantsDark.matches);
	colour();
	wantsDark.addEventListener("change", colour);
	new MutationObserver(() => name(root)).observe(root, { childList: true, subtree: true });
	window.SwaggerUIBundle({
		url: new URL("openapi.json", document.baseURI).href,
		dom_id: "#explorer",
		deepLinking: true,
		validatorUrl: null,
		persistAuthorization: false,
		displayRequestDuration: true,
		tryItOutEnabled: true,
		syntaxHighlight: { activated: true },
		plugins: [PlainTitle],
	});
});
