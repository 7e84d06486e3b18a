import { toast } from "../state/toasts.js";
import { Button } from "./button.jsx";

/** Copies text. The clipboard needs a secure origin: elsewhere there is no button. */
export function Copy({ text, label }) {
	if (!navigator.clipboard)
		return null;
	const copy = () => navigator.clipboard.writeText(text).then(
		() => toast("Copied"), () => toast("The browser does not allow copying.", "bad"));
	return <Button kind="quiet" small icon="copy" label={label} onClick={copy} />;
}
