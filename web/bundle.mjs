// Bundles src/ into a folder of static files: index.html, and under assets/ files that never change, since their
// names hold a hash of their contents. No inline code, so that the Content-Security-Policy can forbid it.
//
//	node bundle.mjs NODE_MODULES OUTDIR
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const [modules, out] = process.argv.slice(2);
const src = join(dirname(fileURLToPath(import.meta.url)), "src");
const assets = join(out, "assets");
const esbuild = createRequire(join(modules, "x.js"))("esbuild");

rmSync(assets, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });

const result = await esbuild.build({
	entryPoints: { app: join(src, "main.jsx") },
	bundle: true,
	splitting: true, // what only one view needs is loaded with that view
	format: "esm",
	target: "es2022",
	jsx: "automatic",
	jsxImportSource: "preact",
	minify: true,
	legalComments: "none",
	charset: "utf8",
	nodePaths: [modules],
	outdir: assets,
	entryNames: "[name]-[hash]",
	chunkNames: "[name]-[hash]",
	metafile: true,
	logLevel: "warning",
});

/** A file of src/ as it is, under a name with its hash. */
function asset(name) {
	const data = readFileSync(join(src, name));
	const hash = createHash("sha256").update(data).digest("hex").slice(0, 8).toUpperCase();
	const hashed = basename(name).replace(".", `-${hash}.`);
	copyFileSync(join(src, name), join(assets, hashed));
	return hashed;
}

const [script, { cssBundle }] = Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint);
const place = (file) => `/assets/${relative(assets, file)}`;
const html = readFileSync(join(src, "index.html"), "utf8")
	.replaceAll("{{script}}", place(script))
	.replaceAll("{{style}}", place(cssBundle))
	.replace(/\{\{asset:([^}]+)\}\}/g, (_, name) => `/assets/${asset(name)}`);
writeFileSync(join(out, "index.html"), html);

// The explorer: swagger-ui as it is published, and a page of our own without inline code.
const explorer = join(out, "swagger");
rmSync(explorer, { recursive: true, force: true });
mkdirSync(explorer);
for (const name of ["index.html", "explorer.js", "explorer.css"])
	copyFileSync(join(src, "explorer", name), join(explorer, name));
for (const name of ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"])
	copyFileSync(join(modules, "swagger-ui-dist", name), join(explorer, name));
