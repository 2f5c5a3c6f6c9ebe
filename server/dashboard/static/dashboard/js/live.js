// Live parts of a page. An element with data-live="5" and hx-trigger="refresh" is loaded anew every 5 seconds while the
// page is seen, or less often where many pages are open: the server says so. It stops while the reader pauses it or has selected text in it, and says when the server doesn't answer.

const KEEPS = "data-version"; // a part names its version: the server answers 204 where nothing has changed
const WAIT = "X-Tailrace-Wait";
const clock = new Intl.DateTimeFormat("sv-SE", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

let paused = false;
let lost = null;
let asked = 0; // seconds that the server asks pages to wait

function say() {
  const text = paused
    ? `Paused at ${clock.format(new Date())}`
    : lost
      ? `No answer from the server since ${clock.format(lost)}; trying again`
      : "Live";
  for (const element of document.querySelectorAll("[data-live-state]")) {
    if (element.textContent !== text) element.textContent = text;
    element.dataset.state = paused ? "paused" : lost ? "lost" : "live";
  }
}

function isSelectedIn(element) {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && element.contains(selection.anchorNode);
}

function refresh(element) {
  if (!paused && !document.hidden && !isSelectedIn(element)) window.htmx.trigger(element, "refresh");
}

for (const element of document.querySelectorAll("[data-live]")) {
  const wait = () => Math.max(Number(element.dataset.live), asked);
  const next = () => setTimeout(() => (refresh(element), next()), 1000 * wait());
  element.addEventListener("htmx:configRequest", (event) => (event.detail.headers[WAIT] = String(wait())));
  next();
  document.addEventListener("visibilitychange", () => refresh(element));
}

for (const button of document.querySelectorAll("button[data-pause]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    document.documentElement.toggleAttribute("data-paused", paused); // charts look there
    button.setAttribute("aria-pressed", String(paused));
    say();
    if (!paused) document.querySelectorAll("[data-live]").forEach(refresh);
  });
}

const answers = (ok) => {
  lost = ok ? null : (lost ?? new Date());
  say();
};

document.addEventListener("htmx:configRequest", (event) => {
  const part = event.target.closest("[data-live]")?.querySelector(`[${KEEPS}]`);
  if (part) event.detail.headers["X-Tailrace-Version"] = part.getAttribute(KEEPS);
});
document.addEventListener("htmx:afterRequest", (event) => {
  asked = Number(event.detail.xhr.getResponseHeader(WAIT)) || asked;
  answers(event.detail.successful);
});
document.addEventListener("htmx:sendError", () => answers(false));
document.addEventListener("htmx:timeout", () => answers(false));

if (document.querySelector("[data-live]")) say();
