// Sets the theme before the page is painted. A classic script in the head, so that nothing flashes.
(() => {
  const KEY = "tailrace-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      const found = localStorage.getItem(KEY);
      return found === "light" || found === "dark" ? found : "system";
    } catch {
      return "system"; // the browser keeps nothing
    }
  };

  const apply = () => {
    const theme = chosen();
    document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    document.dispatchEvent(new CustomEvent("tailrace:theme")); // charts draw themselves anew
  };

  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", (event) => event.key === KEY && apply()); // chosen in another tab

  addEventListener("DOMContentLoaded", () => {
    for (const select of document.querySelectorAll("select[data-theme-switch]")) {
      select.value = chosen();
      select.closest("[hidden]")?.removeAttribute("hidden");
      select.addEventListener("change", () => {
        try {
          localStorage.setItem(KEY, select.value);
        } catch {
          document.documentElement.dataset.theme = select.value; // for this page alone
        }
        apply();
      });
    }
  });
})();
