// What is asked for: read from the address, changed by the controls, written back to the address.

import { byId, el, fill, show } from "./dom.js";
import { LABELS, MEANINGS, STATUSES, count, zoned } from "./texts.js";

const TEXTS = ["dag_id", "destination", "run_id_contains"];
const REMEMBERED = [...TEXTS, "period", "since", "until"];

export class Filters {
  constructor(onChange) {
    const given = parameters(location.search);
    this.onChange = onChange;
    this.runId = given.run_id ?? null;
    this.ofRun = Boolean(given.dag_id && given.run_id); // the tab of one DAG run
    this.statuses = new Set((given.status ?? "").split(",").filter((status) => STATUSES.includes(status)));
    this.form = byId("filters");
    for (const name of REMEMBERED) {
      if (given[name] !== undefined) this.form.elements[name].value = given[name];
    }
    this.counts = null;
    this.#listen();
    this.#drawStatuses();
    this.#drawRest();
  }

  // As the server is asked; times are Unix seconds.
  asked(now) {
    const asked = { status: STATUSES.filter((status) => this.statuses.has(status)).join(","), run_id: this.runId };
    for (const name of TEXTS) asked[name] = this.form.elements[name].value.trim();
    const period = this.form.elements.period.value;
    if (period === "custom") {
      asked.since = zoned(this.form.elements.since.value);
      asked.until = zoned(this.form.elements.until.value);
    } else if (period) {
      asked.since = now - Number(period);
    }
    return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null && value !== ""));
  }

  get any() {
    return this.statuses.size > 0 || REMEMBERED.some((name) => this.form.elements[name].value !== "");
  }

  // What is asked for, in words.
  inWords() {
    const { dag_id, destination, run_id_contains, period } = this.form.elements;
    return [
      this.statuses.size ? [...this.statuses].map((status) => LABELS[status].toLowerCase()).join(" or ") : null,
      dag_id.value && `DAG ${dag_id.value.trim()}`,
      this.runId && `run ${this.runId}`,
      destination.value && `destination ${destination.value.trim()}`,
      run_id_contains.value && `run id contains ${run_id_contains.value.trim()}`,
      period.value && period.value !== "custom" && `reported ${period.selectedOptions[0].textContent}`,
      period.value === "custom" && "reported in the time that is chosen",
    ].filter(Boolean);
  }

  showCounts(counts) {
    this.counts = counts;
    this.#drawStatuses();
  }

  clear() {
    this.form.reset();
    this.statuses.clear();
    this.#changed();
  }

  #listen() {
    let timer = null;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#changed(), 300);
    };
    this.form.addEventListener("input", later);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      this.#changed();
    });
    this.form.addEventListener("reset", () => {
      clearTimeout(timer);
      setTimeout(() => {
        this.statuses.clear();
        this.#changed();
      });
    });
  }

  #changed() {
    this.#drawStatuses();
    this.#drawRest();
    const remembered = Object.fromEntries(REMEMBERED.map((name) => [name, this.form.elements[name].value]));
    const all = { status: [...this.statuses].join(","), run_id: this.runId, ...remembered };
    const parts = Object.entries(all)
      .filter(([, value]) => value)
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    history.replaceState(null, "", parts.length ? `?${parts.join("&")}` : location.pathname);
    this.onChange();
  }

  #drawRest() {
    show(byId("clear"), this.any);
    for (const label of this.form.querySelectorAll(".custom")) show(label, this.form.elements.period.value === "custom");
  }

  #drawStatuses() {
    const focused = document.activeElement?.dataset?.status;
    const total = this.counts && sum(Object.values(this.counts));
    const button = (status, label, number, pressed, press) =>
      el(
        "button",
        {
          type: "button",
          class: `chip s-${status}${number?.number ? "" : " none"}`,
          "aria-pressed": pressed,
          "data-status": status,
          title: MEANINGS[status] ?? null,
          on: { click: press },
        },
        el("span", { class: "dot", "aria-hidden": "true" }),
        label,
        number ? el("span", { class: "number" }, count(number)) : null,
      );
    fill(
      byId("statuses"),
      button("all", "All", total, this.statuses.size === 0, () => {
        this.statuses.clear();
        this.#changed();
      }),
      STATUSES.map((status) =>
        button(status, LABELS[status], this.counts?.[status], this.statuses.has(status), () => {
          if (!this.statuses.delete(status)) this.statuses.add(status);
          this.#changed();
        }),
      ),
    );
    if (focused) byId("statuses").querySelector(`[data-status="${focused}"]`)?.focus();
  }
}

function sum(counts) {
  return {
    number: counts.reduce((total, { number }) => total + number, 0),
    or_more: counts.some(({ or_more }) => or_more),
  };
}

// Airflow puts ids into the address, before 3.2 without encoding them: a plus sign is a plus sign.
function parameters(search) {
  const pairs = search.replace(/^\?/, "").split("&").filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split("=", 1)[0], decoded(pair.slice(pair.indexOf("=") + 1))]));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
