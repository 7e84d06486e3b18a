// The time, ticking for those who show it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

const ticks = new Map(); // period -> {signal, users, timer}

/** Date.now(), renewed every `period` milliseconds for as long as the component is there. */
export function useNow(period = 1000) {
	if (!ticks.has(period))
		ticks.set(period, { time: signal(Date.now()), users: 0, timer: 0 });
	const tick = ticks.get(period);
	useEffect(() => {
		if (tick.users++ === 0) {
			tick.time.value = Date.now();
			tick.timer = setInterval(() => {
				tick.time.value = Date.now();
			}, period);
		}
		return () => {
			if (--tick.users === 0)
				clearInterval(tick.timer);
		};
	}, [tick]);
	return tick.time.value;
}
