// What there is to see when there is nothing: how to make the first run ring, or how to see more.

import { el } from "./dom.js";

export function emptyList(found, filters) {
  if (filters.ofRun) {
    return [
      el("h2", {}, "This run has rung nobody"),
      el("p", {}, "Either its conf asks for no callback, or it has not ended yet. What is older than [ringback] retention_days is deleted."),
    ];
  }
  if (filters.any || filters.runId) {
    return [
      el("h2", {}, "No delivery matches"),
      el("p", {}, el("button", { type: "button", on: { click: () => filters.clear() } }, "Clear the filter")),
    ];
  }
  return [
    el("h2", {}, "No run has rung yet"),
    el("p", {}, "A run rings when its conf says where. Three steps make the first one ring:"),
    el(
      "ol",
      { class: "steps" },
      el("li", {}, "Make a key and the destination's connection: ", el("code", {}, "ringback keys new"), " prints the command, with the receivers' addresses to allow."),
      el("li", {}, "Put one line into the DAG, ", el("code", {}, "notify_completion()"), ", or let the listener and the relay do without."),
      el("li", {}, "Trigger a run with this conf:", el("pre", {}, '{"callback_url": "https://portal.example/airflow/completions"}')),
    ),
    found.no_outbox
      ? el("p", { class: "muted" }, `Just now ${found.no_outbox}; Airflow's components make it when the first run asks. If runs have rung already, this API server does not see their outbox: a SQLite file serves one machine, and [ringback] outbox_url names a PostgreSQL for several.`)
      : null,
  ];
}
