// The navigation: a column on wide screens, a drawer behind a button on narrow ones.
import { count } from "../lib/number.js";
import { forgetKeys, whyNot } from "../state/keys.js";
import { helpOpen, keysOpen, navOpen } from "../state/panels.js";
import { href, route } from "../state/route.js";
import { counts, server } from "../state/server.js";
import { setTheme, theme, THEMES } from "../state/theme.js";
import { Button } from "../ui/button.jsx";
import { Dialog } from "../ui/dialog.jsx";
import { Icon } from "../ui/icon.jsx";
import { SchedulerBadge } from "./scheduler-badge.jsx";
import { VIEWS } from "./views.jsx";

export const Brand = () => (
	<span class="brand">
		<svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
			<rect width="32" height="32" rx="8" class="brand-back" />
			<path d="M7 17.5 25 8l-5 17-5.2-5.4L21 12l-9 6.3z" class="brand-front" />
		</svg>
		herald
	</span>
);

function Links() {
	const failed = counts.value?.failed;
	return (
		<ul class="nav-links">
			{Object.entries(VIEWS).map(([name, view]) => (
				<li key={name}>
					<a href={href(name)} aria-current={route.value.view === name ? "page" : undefined}
						onClick={() => { navOpen.value = false; }}>
						<Icon name={view.icon} />
						<span>{view.title}</span>
						{name === "messages" && failed > 0 && (
							<span class="nav-count" title={`${count(failed)} failed`}>
								<span class="sr-only">, failed: </span>{failed > 999 ? "999+" : failed}
							</span>
						)}
					</a>
				</li>
			))}
		</ul>
	);
}

function ThemeSwitch() {
	const icons = { system: "system", light: "sun", dark: "moon" };
	return (
		<fieldset class="segmented">
			<legend class="sr-only">Colours</legend>
			{THEMES.map((t) => (
				<label key={t} title={t === "system" ? "As the system has it" : t}>
					<input type="radio" name="theme" value={t} checked={theme.value === t} onChange={() => setTheme(t)} />
					<Icon name={icons[t]} size={16} />
					<span class="sr-only">{t}</span>
				</label>
			))}
		</fieldset>
	);
}

function Foot() {
	const missing = ["messages", "scheduler"].filter(whyNot);
	return (
		<div class="nav-foot">
			<div class="nav-tools">
				<ThemeSwitch />
				<Button kind="quiet" small icon="keyboard" label="Keyboard shortcuts" onClick={() => { helpOpen.value = true; }} />
				<Button kind="quiet" small icon="key" onClick={() => { keysOpen.value = true; }}
					label={missing.length ? `Keys: the ${missing.join(" and the ")} key is missing` : "Keys"} />
				<Button kind="quiet" small icon="leave" label="Sign out: forget the keys" onClick={forgetKeys} />
			</div>
			<p class="nav-about">
				<a href="/swagger/" target="_blank" rel="noopener">API explorer</a>
				{server.value?.version && <span class="muted"> · herald {server.value.version}</span>}
			</p>
		</div>
	);
}

export const Sidebar = () => (
	<header class="sidebar">
		<div class="sidebar-head"><Brand /></div>
		<SchedulerBadge />
		<nav aria-label="Main"><Links /></nav>
		<Foot />
	</header>
);

export const TopBar = () => (
	<header class="topbar">
		<Button kind="quiet" icon="menu" label="Menu" aria-haspopup="dialog" onClick={() => { navOpen.value = true; }} />
		<Brand />
		<SchedulerBadge />
	</header>
);

export function NavDrawer() {
	if (!navOpen.value)
		return null;
	return (
		<Dialog title="Menu" heading={<Brand />} side onClose={() => { navOpen.value = false; }}>
			<div class="dialog-body nav-body">
				<nav aria-label="Menu"><Links /></nav>
				<Foot />
			</div>
		</Dialog>
	);
}
