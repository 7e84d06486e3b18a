// The first thing one sees: where to enter the keys.
import { KeysForm } from "./keys.jsx";
import { Brand } from "./nav.jsx";

export const SignIn = () => (
	<main class="sign-in">
		<div class="card sign-in-card">
			<h1><Brand /></h1>
			<p class="lead">Enter the keys this server was started with. One is enough to look at its part.</p>
			<KeysForm action="Open the dashboard" />
			<p class="muted small">The keys stay in this tab and are forgotten when it is closed. They are the values
				of <code>MESSAGES_API_KEY</code> and <code>SCHEDULER_API_KEY</code>.</p>
		</div>
	</main>
);
