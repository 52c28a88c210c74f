// Dark or light as Airflow's UI is, which this page is framed in; alone, as the browser prefers.

const dark = matchMedia("(prefers-color-scheme: dark)");

function airflows() {
  try {
    if (parent === window) return null;
    const root = parent.document.documentElement;
    if (root.classList.contains("dark")) return "dark";
    return root.classList.contains("light") ? "light" : null;
  } catch {
    return null; // framed by another site: its policy forbids that, and nothing of it is read
  }
}

function chosen() {
  try {
    const theme = localStorage.getItem("theme");
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

function apply() {
  document.documentElement.dataset.theme = airflows() ?? chosen() ?? (dark.matches ? "dark" : "light");
}

export function followTheme() {
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  try {
    if (parent === window) return;
    const observer = new MutationObserver(apply);
    observer.observe(parent.document.documentElement, { attributeFilter: ["class"] });
    addEventListener("pagehide", () => observer.disconnect());
  } catch {
    // as above
  }
}
