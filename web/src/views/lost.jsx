import { href } from "../state/route.js";
import { Page } from "../ui/page.jsx";
import { Empty } from "../ui/states.jsx";

export const Lost = () => (
	<Page title="Nothing here">
		<div class="card">
			<Empty icon="search" title="There is no such page">
				<p><a href={href("overview")}>Go to the overview</a></p>
			</Empty>
		</div>
	</Page>
);
