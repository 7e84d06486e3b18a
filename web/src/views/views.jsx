// The views by name, in the order of the navigation. What is large and not always wanted is loaded when it is opened.
import { lazy } from "../ui/lazy.jsx";
import { Cache } from "./cache.jsx";
import { Create } from "./create.jsx";
import { Health } from "./health.jsx";
import { Messages } from "./messages.jsx";
import { Nodes } from "./nodes.jsx";
import { Overview } from "./overview.jsx";
import { Runs } from "./runs.jsx";

export const VIEWS = {
	overview: { title: "Overview", icon: "overview", key: "o", component: Overview },
	messages: { title: "Messages", icon: "messages", key: "m", component: Messages },
	new: { title: "New message", icon: "add", key: "n", component: Create },
	import: { title: "Import", icon: "import", key: "i", component: lazy(() => import("./import.jsx"), "Import") },
	runs: { title: "Runs", icon: "runs", key: "r", component: Runs },
	nodes: { title: "Nodes", icon: "nodes", key: "d", component: Nodes },
	health: { title: "Health", icon: "health", key: "h", component: Health },
	cache: { title: "Cache", icon: "cache", key: "c", component: Cache },
};
