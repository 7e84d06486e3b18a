// Which of the dialogs that belong to the whole page are open.
import { signal } from "@preact/signals";

export const keysOpen = signal(false);
export const helpOpen = signal(false);
export const paceOpen = signal(false);
export const navOpen = signal(false);
