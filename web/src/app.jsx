// The whole page: sign-in until there is a key, then the frame with one view in it.
import { signedIn } from "./state/keys.js";
import { helpOpen, keysOpen, paceOpen } from "./state/panels.js";
import { route } from "./state/route.js";
import { openDialogs } from "./ui/dialog.jsx";
import { Toasts } from "./ui/toasts.jsx";
import { Banner } from "./views/banner.jsx";
import { Help } from "./views/help.jsx";
import { KeysDialog } from "./views/keys.jsx";
import { NavDrawer, Sidebar, TopBar } from "./views/nav.jsx";
import { PaceDialog } from "./views/pace.jsx";
import { SignIn } from "./views/sign-in.jsx";
import { VIEWS } from "./views/views.jsx";
import { Lost } from "./views/lost.jsx";

function Frame() {
	const View = VIEWS[route.value.view]?.component ?? Lost;
	return (
		<div class="frame">
			<a class="skip" href="#main" onClick={(e) => {
				e.preventDefault();
				document.querySelector("main h1")?.focus();
			}}>Skip to the content</a>
			<Sidebar />
			<TopBar />
			<main id="main"><View /></main>
			<NavDrawer />
			{keysOpen.value && <KeysDialog />}
			{paceOpen.value && <PaceDialog />}
		</div>
	);
}

export function App() {
	return (
		<>
			<Banner />
			{signedIn.value ? <Frame /> : <SignIn />}
			{helpOpen.value && <Help />}
			{openDialogs.value.length === 0 && <Toasts />}
		</>
	);
}
