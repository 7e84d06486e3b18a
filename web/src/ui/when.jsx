// A time: short in the line, in full on hover.
import { absolute, ago, short } from "../lib/time.js";
import { useNow } from "../state/now.js";

export const Time = ({ at }) => (at ? <time class="num" dateTime={at} title={absolute(at)}>{short(at)}</time> : <>–</>);

export function Ago({ at }) {
	const now = useNow(10000);
	return at ? <time dateTime={at} title={absolute(at)}>{ago(at, Math.max(now, Date.now()))}</time> : <>never</>;
}
