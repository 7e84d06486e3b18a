// Several hundred texts that somebody, somewhere, has failed to pass on unchanged: each may be a message. All are valid
// UTF-8 without NUL, 1 to 1000 characters.

/** What would show that a text was run: see naughty.test.js. */
const mark = (n) => `window.executed=${n}`;

const html = () => {
	let n = 0;
	const js = () => mark(++n);
	const tags = [
		() => `<script>${js()}</script>`, () => `<SCRIPT SRC=//127.0.0.1:9/x.js></SCRIPT>`, () => `<img src=x onerror="${js()}">`,
		() => `<svg onload="${js()}">`, () => `<svg><script>${js()}</script></svg>`, () => `<body onload="${js()}">`,
		() => `<iframe srcdoc="<script>parent.${js()}</script>">`, () => `<a href="javascript:${js()}">x</a>`,
		() => `<input autofocus onfocus="${js()}">`, () => `<details open ontoggle="${js()}">`, () => `<video><source onerror="${js()}">`,
		() => `<math><mtext></mtext><img src=x onerror="${js()}"></math>`, () => `<style>@import 'http://127.0.0.1:9/x.css'</style>`,
		() => `<link rel=stylesheet href=http://127.0.0.1:9/x.css>`, () => `<meta http-equiv=refresh content="0;url=http://127.0.0.1:9/">`,
		() => `<base href="http://127.0.0.1:9/">`, () => `<object data="javascript:${js()}">`, () => `<form><button formaction="javascript:${js()}">x`,
		() => `<marquee onstart="${js()}">`, () => `<template><script>${js()}</script></template>`, () => `<table background="http://127.0.0.1:9/x">`,
		() => `<noscript><p title="</noscript><img src=x onerror=${js()}>">`, () => `<textarea></textarea><script>${js()}</script>`,
		() => `<title></title><script>${js()}</script>`, () => `<plaintext>`, () => `<xmp>`, () => `<dialog open>`,
	];
	const around = [(t) => t, (t) => `"'>${t}`, (t) => `</td></tr></table>${t}`, (t) => `</script>${t}`, (t) => `-->${t}<!--`];
	return tags.flatMap((tag) => around.map((wrap) => wrap(tag())));
};

const entities = ["&lt;b&gt;", "&amp;amp;", "&#60;script&#62;", "&#x3c;img src=x&#x3e;", "&nbsp;", "&", "&&&", "&copy", "&notit;", "<", ">", "<>", "</", "<!", "<![CDATA[x]]>", "<?xml version=\"1.0\"?>", "<!DOCTYPE html>", "<!ENTITY x SYSTEM \"file:///etc/passwd\">"];

const script = ["javascript:window.executed=1", "';window.executed=2;//", "\";window.executed=3;//", "`;window.executed=4;//", "\\';window.executed=5;//", "${window.executed=6}", "{{constructor.constructor('window.executed=7')()}}", "[[${7*7}]]", "#{7*7}", "<%= 7*7 %>", "{% raw %}", "{{7*7}}", "${{7*7}}", "@(7*7)", "$(id)", "`id`", "__proto__", "constructor", "prototype", "toString", "valueOf", "hasOwnProperty", "__defineGetter__", "undefined", "null", "NaN", "Infinity", "-Infinity", "true", "false", "nil", "None", "[object Object]", "function(){}", "new Date()", "{\"__proto__\":{\"x\":1}}"];

const sql = ["' OR 1=1 --", "'; DROP TABLE herald_messages; --", "\"; DELETE FROM herald_messages; --", "1' AND SLEEP(5)#", "%' OR '%'='", "\\'; --", "$$; DROP TABLE x; $$", "''", "'", "\"\"", "%", "_", "%s%s", "1;1", "/* */", "--", "#", ";", "\\", "\\\\", "\\0", "\\n", "\\x00", "\\u0000", "{\"$gt\":\"\"}", "{\"$where\":\"sleep(5000)\"}", "$ne", "a.b.c", "*1\r\n$4\r\nPING\r\n", "FLUSHALL", "GET x\r\nSET y 1"];

const format = ["%s", "%n%n%n%n", "%x%x%x", "%p", "%d", "%.1000000s", "%99999999d", "%%", "%", "%1$s", "{}", "{0}", "{0!r}", "%(x)s", "%@", "$x", "$1", "\\1", "~S", "{name:>10}"];

const json = ["{", "}", "[", "]", "\"", "{}", "[]", "{\"a\":1}", "\\\"", "\"}", "\\u0041", "\\ud83d\\ude00", "\\", "\u2028", "\u2029", "a\u2028b", "a\u2029b", "a\tb", "a\nb", "a\r\nb", "a\rb", "\t", " ", "  ", " leading", "trailing ", "\n", "\r\n\r\n", "a\n\n\nb", "\v", "\f", "\b", "\x1f", "\x7f", "a\x01b\x02c"];

const spaces = ["\u00a0", "\u1680", "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", "\u202f", "\u205f", "\u3000", "\ufeff", "\ufeffstarts with a mark", "ends with a mark\ufeff", "a\u00a0b", "\u0085", "\u180e"];

const zeroWidth = ["\u200b", "a\u200bb", "\u200c", "\u200d", "\u2060", "\u00ad", "soft\u00adhyphen", "\u034f", "\u061c", "\u115f", "\u1160", "\u17b4", "\u2061\u2062\u2063\u2064", "\u3164", "\uffa0", "\ufe0f", "\u{e0001}", "\u{e0020}\u{e0041}", "\u{e0100}"];

const rtl = ["\u202eevil", "\u202dforced\u202c", "\u202atext\u202c", "\u202btext\u202c", "\u2066a\u2069", "\u2067a\u2069", "\u2068a\u2069", "\u202e\u202e\u202e", "unclosed \u2067", "مرحبا", "שלום", "مرحبا hello مرحبا", "hello שלום 123", "123 שלום", "\u200eا\u200f", "السلام عليكم: 50%", "(שלום)", "ﷺ", "﷽", "עִבְרִית", "النص العربي المُشَكَّل", "\u202egnp.exe", "‏+90 555‏", "ܫܠܡܐ", "ދިވެހި"];

const scripts = ["İstanbul ıI iİ", "ŞşĞğÜüÖöÇç", "ß ẞ ﬀ ﬁ ﬃ", "ÅÅÅ", "é e\u0301", "ñ n\u0303", "Ω Ω", "K K", "ǅ ǆ Ǆ", "ﾊﾝｶｸ", "全角ＡＢＣ", "中文字符測試", "日本語テスト", "한국어", "ᄒ\u1161\u11ab", "ไทยภาษา", "हिन्दी क्षि", "বাংলা", "தமிழ்", "മലയാളം", "ქართული", "Հայերեն", "ελληνικά", "кириллица", "ᚠᛇᚻ", "𐍈𐌰", "𝕳𝖊𝖗𝖆𝖑𝖉", "𝓱𝓮𝓻𝓪𝓵𝓭", "ｈｅｒａｌｄ", "🅷🅴🆁🅰🅻🅳", "ʇxǝʇ", "ⓗⓔⓡ", "аррӏе.com", "Ꮖ Ⅰ І", "𠜎𠜱𠝹", "𒀀𒀁", "་བོད་", "ꦲꦤ", "ⵣ", "ᐃᓄᒃ"];

const emoji = ["😀", "👍🏿", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇹🇷", "🇹🇷🇩🇪", "🇹", "1️⃣", "❤️", "❤", "☠︎", "🧑🏽‍🚀", "👁️‍🗨️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\u{1f3fb}", "😀".repeat(200), "👨‍👩‍👧‍👦".repeat(20), "🫠🫡🫥", "⚧️", "™️©️", "🤷🏽‍♀️", "\u200d👩", "👩\u200d"];

const marks = ["Z\u0310\u0321a\u0336\u0317l\u0334\u0316g\u0335\u0319o", `a${"\u0301".repeat(100)}`, `${"\u0489".repeat(50)}`, "\u0301", "\u20dd", "a\u20e3", "\u{1d165}\u{1d16e}", "ก็็็็็็็็", "ஶ்ரீ", "\u0338"];

const edges = ["\u0001", "\u001b", "\u007f", "\u0080", "\u009f", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uf8ff", "\ufdd0", "\ufffd", "\ufffe", "\uffff", "\u{10000}", "\u{1fffe}", "\u{1ffff}", "\u{f0000}", "\u{10fffd}", "\u{10ffff}", "�"];

const ansi = ["\x1b[31mred\x1b[0m", "\x1b[2J", "\x1b]0;title\x07", "\x1b[1;1H", "\x1b[?1049h", "\x9b31m", "\x1b]8;;http://127.0.0.1:9/\x07x\x1b]8;;\x07", "\x07", "\x1bc", "\x08\x08\x08", "\x1b[6n", "\r\x1b[K"];

const paths = ["/etc/passwd", "../../../../etc/passwd", "..\\..\\windows", "file:///etc/passwd", "C:\\con\\con", "CON", "NUL", "aux", "/dev/null", "~root", "a/b", "//127.0.0.1:9/", "http://127.0.0.1:9/x", "https://user:pass@127.0.0.1:9/", "data:text/html,<script>window.executed=8</script>", "mailto:a@b", "tel:+905551234567", "?a=1&b=2", "#x", "%00", "%2e%2e%2f", "%0d%0aSet-Cookie: a=b", "a\r\nX-Injected: 1", "HTTP/1.1 200 OK\r\n\r\n", "; ls", "| cat /etc/passwd", "&& id", "$(touch /tmp/herald-naughty)", "`touch /tmp/herald-naughty`", "() { :;}; echo x", "$HOME", "$IFS", "%PATH%", "!!", "*", "?", "[a-z]"];

const csv = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://127.0.0.1:9/\")", "a,b", "a;b", "a\tb", "\"quoted\"", "\"un\"closed", "\"", ",", "a\n,b", "\"\"\"\"", "#N/A", "#REF!", "1E5", "01", "1,000", "2026-01-31"];

const numbers = ["0", "-0", "-1", "1.0", "1e308", "1e309", "9007199254740993", "18446744073709551616", "0x10", "0b1", "0o7", "1_000", "١٢٣", "१२३", "１２３", "½", "²", "∞", "٫", "1.", ".1", "+1", "--1", "1/0"];

const markdown = ["**bold**", "[x](javascript:window.executed=9)", "![x](http://127.0.0.1:9/x.png)", "```js\nx\n```", "# x", "> x", "| a | b |", "<http://127.0.0.1:9/>", "[x]: http://127.0.0.1:9/", "~~x~~", "- [ ] x", "\\*x\\*"];

const long = ["x".repeat(1000), "ü".repeat(1000), "€".repeat(1000), "𝒳".repeat(1000), "word ".repeat(200), "a\n".repeat(500), "\u202e".repeat(200), "<b>".repeat(333), "&amp;".repeat(200), "\"".repeat(1000), "\\".repeat(1000), "ﷺ".repeat(1000), "\u200b".repeat(1000), `${"\u200f".repeat(50)}x`];

const kinds = { html: html(), entities, script, sql, format, json, spaces, zeroWidth, rtl, scripts, emoji, marks, edges, ansi, paths, csv, numbers, markdown, long };

/** Each once: {kind, text}. */
export const NAUGHTY = [...new Map(Object.entries(kinds)
	.flatMap(([kind, texts]) => texts.map((text) => [text, { kind, text }]))).values()];
