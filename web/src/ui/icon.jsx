// Line icons on a grid of 24. Decoration: what they stand for is always said in words beside or by a label.

const PATHS = {
	overview: "M4 13a8 8 0 1 1 16 0M12 13l4-4M4 19h16",
	messages: "M4 5h16v11H9l-5 4z",
	add: "M12 5v14M5 12h14",
	import: "M12 4v11m0 0 4-4m-4 4-4-4M4 19h16",
	runs: "M4 6h10M4 12h16M4 18h7",
	nodes: "M5 4h14v6H5zM5 14h14v6H5zM8 7h.01M8 17h.01",
	health: "M3 12h4l3-7 4 14 3-7h4",
	cache: "M12 3 4 7l8 4 8-4zM4 12l8 4 8-4M4 17l8 4 8-4",
	key: "M14.5 9.5a4.5 4.5 0 1 0-3.2 4.3L13 15.5h2.5V18H18v2h3v-3l-6.8-6.8M8.5 8.5h.01",
	play: "M7 5v14l11-7z",
	stop: "M6 6h12v12H6z",
	beat: "M13 3 5 14h6l-1 7 8-11h-6z",
	pace: "M12 7v5l3 2M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18",
	sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 3v2m0 14v2M5.6 5.6 7 7m10 10 1.4 1.4M3 12h2m14 0h2M5.6 18.4 7 17M17 7l1.4-1.4",
	moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5",
	system: "M4 5h16v11H4zM9 20h6",
	close: "M6 6l12 12M18 6 6 18",
	menu: "M4 7h16M4 12h16M4 17h16",
	refresh: "M20 11a8 8 0 0 0-14.5-3.5L4 9m0-5v5h5M4 13a8 8 0 0 0 14.5 3.5L20 15m0 5v-5h-5",
	newer: "M14 6l-6 6 6 6",
	older: "M10 6l6 6-6 6",
	search: "M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14m5-2 4 4",
	replay: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
	ban: "M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18M5.7 5.7l12.6 12.6",
	copy: "M9 9h11v11H9zM5 15H4V4h11v1",
	warning: "M12 4 2.5 20h19zM12 10v4m0 3h.01",
	info: "M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18m0-10v5m0-8h.01",
	check: "M5 13l4 4L19 7",
	external: "M14 4h6v6m0-6-9 9M18 14v6H4V6h6",
	keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
	leave: "M14 4h6v16h-6M4 12h10m-4-4 4 4-4 4",
	pause: "M8 5v14M16 5v14",
	file: "M6 3h8l5 5v13H6zM14 3v5h5",
};

export function Icon({ name, size = 18 }) {
	return (
		<svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
			<path d={PATHS[name]} />
		</svg>
	);
}
