// Shows the document that lies beside this page. No other host is asked for anything.
window.addEventListener("DOMContentLoaded", () => {
	window.SwaggerUIBundle({
		url: new URL("openapi.json", document.baseURI).href,
		dom_id: "#explorer",
		deepLinking: true,
		validatorUrl: null,
		persistAuthorization: false,
		displayRequestDuration: true,
		tryItOutEnabled: true,
		syntaxHighlight: { activated: true },
	});
});
