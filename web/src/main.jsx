import "uplot/dist/uPlot.min.css"; // here, since a part that is loaded later brings no style
import "./style/tokens.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/dialogs.css";
import "./style/views.css";
import { render } from "preact";
import { App } from "./app.jsx";
import "./state/live.js";
import "./state/shortcuts.js";
import "./state/theme.js";

const root = document.getElementById("app");
root.textContent = "";
render(<App />, root);
