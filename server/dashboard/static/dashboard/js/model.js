// The model's page: the moment slider loads the state of that moment, and parts that are loaded later get their charts.
import { start } from "./charts.js";

let waiting = 0;

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-moment]");
  if (!form || event.target.name !== "n") return;
  form.querySelector("output").textContent = Number(event.target.value).toLocaleString();
  clearTimeout(waiting);
  waiting = setTimeout(() => go(form, event.target.value), 250);
});

async function go(form, n) {
  const address = new URL(location.href);
  address.searchParams.set("n", n);
  const answer = await fetch(`${form.dataset.moment}?n=${encodeURIComponent(n)}`).catch(() => null);
  if (!answer || answer.redirected) return;
  const place = document.getElementById("moment");
  const focused = document.activeElement?.id === "n";
  const title = place.querySelector("h2");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(title, ...page.body.childNodes);
  title.textContent = `State after observation ${Number(n).toLocaleString()}`;
  history.replaceState(null, "", address);
  if (focused) document.getElementById("n")?.focus();
}

document.addEventListener("htmx:afterSwap", (event) => start(event.target));

// The range that is zoomed to is in the page's address, so that it can be mailed.
document.addEventListener("zoomed", (event) => {
  const { low, high, chart } = event.detail;
  if (chart !== "error" && chart !== "values") return;
  const address = new URL(location.href);
  for (const [name, value] of [["first", low === null ? null : Math.max(1, Math.floor(low))], ["last", high === null ? null : Math.ceil(high)]]) {
    if (value === null) address.searchParams.delete(name);
    else address.searchParams.set(name, String(value));
  }
  history.replaceState(null, "", address);
});
