// The state of something as a coloured word. The word alone says it, too.

export const STATUSES = ["pending", "sending", "sent", "failed", "cancelled", "unknown", "invalid"];

/** What a message's status means, for those who see it for the first time. */
export const MEANING = {
	pending: "Waits for its beat",
	sending: "Is on its way to the webhook",
	sent: "Accepted by the webhook",
	failed: "Refused for good, or all attempts used up",
	cancelled: "Taken back before it was sent",
	unknown: "Sent, but nobody can know whether it was accepted",
	invalid: "Broke a rule, so it is not sent",
};

export const Chip = ({ state, children }) => (
	<span class={`chip ${state}`}><span class="dot" aria-hidden="true" />{children ?? state}</span>
);
