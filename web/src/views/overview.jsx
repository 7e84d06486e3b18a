// The state of everything at a glance.
import { lazy } from "../ui/lazy.jsx";
import { href } from "../state/route.js";
import { Icon } from "../ui/icon.jsx";
import { Page } from "../ui/page.jsx";
import { LiveFeed } from "./live-feed.jsx";
import { LiveLight } from "./live-light.jsx";
import { SchedulerCard } from "./scheduler-card.jsx";
import { Tiles } from "./tiles.jsx";

const Charts = lazy(() => import("./charts.jsx"), "Charts");

export const Overview = () => (
	<Page title="Overview" actions={<>
		<LiveLight />
		<a class="button" href={href("import")}><Icon name="import" />Import</a>
		<a class="button primary" href={href("new")}><Icon name="add" />New message</a>
	</>}>
		<SchedulerCard />
		<Tiles />
		<div class="charts-place"><Charts /></div>
		<LiveFeed />
	</Page>
);
