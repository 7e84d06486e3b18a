import "./style/base.css";
import { render } from "preact";

render(<main>herald</main>, document.getElementById("app"));
