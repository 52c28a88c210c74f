// The table: rows are kept by id, so that a refresh neither flickers nor takes the focus away.

import { byId, el, fill } from "./dom.js";
import { LABELS, MEANINGS, exact, relative } from "./texts.js";

const COLUMNS = 6;

export class List {
  // `open(id)` gives an element that shows a delivery.
  constructor(open) {
    this.open = open;
    this.rows = new Map();
    this.openId = null;
  }

  show(deliveries, now) {
    const wanted = new Set(deliveries.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.remove();
        this.rows.delete(id);
        if (this.openId === id) this.openId = null;
      }
    }
    let before = null;
    for (const delivery of deliveries) {
      let row = this.rows.get(delivery.id);
      if (!row) {
        row = new Row(delivery.id, () => this.toggle(delivery.id));
        this.rows.set(delivery.id, row);
      }
      const changed = row.update(delivery, now);
      row.placeAfter(before, byId("rows"));
      before = row;
      if (delivery.id === this.openId && (changed || row.empty)) this.refreshOpen();
    }
  }

  toggle(id) {
    const closing = this.openId === id;
    this.rows.get(this.openId)?.close();
    this.openId = closing ? null : id;
    if (!closing) this.refreshOpen();
  }

  async refreshOpen() {
    const id = this.openId;
    const row = this.rows.get(id);
    if (!row) return;
    row.expand();
    const shown = await this.open(id);
    if (this.openId === id) row.fill(shown);
  }

  closeOpen() {
    const row = this.rows.get(this.openId);
    if (!row) return false;
    row.close();
    row.button.focus();
    this.openId = null;
    return true;
  }
}

class Row {
  constructor(id, toggle) {
    this.said = null;
    this.detail = null;
    const name = `d-${id}`;
    this.status = el("span", { class: "pill" });
    this.button = el(
      "button",
      { type: "button", class: "row-button", "aria-expanded": false, "aria-controls": name, on: { click: toggle } },
      el("span", { class: "chevron", "aria-hidden": "true" }),
      this.status,
    );
    this.cells = ["c-run", "c-ending", "c-target", "c-next", "c-when"].map((column) => cell(column));
    this.line = el("tr", { role: "row", class: "row" }, cell("c-status", this.button), this.cells);
    this.line.addEventListener("click", (event) => {
      if (!event.target.closest("button, a") && !getSelection().toString()) toggle();
    });
    this.panel = el("td", { role: "cell", colspan: COLUMNS, class: "panel" });
    this.below = el("tr", { role: "row", id: name, class: "below", hidden: true }, this.panel);
  }

  get empty() {
    return this.detail === null;
  }

  update(delivery, now) {
    const said = JSON.stringify(delivery);
    const [run, ending, target, next, when] = this.cells;
    const changed = this.said !== null && this.said !== said;
    if (this.said !== said) {
      this.line.dataset.status = delivery.status;
      this.below.dataset.status = delivery.status;
      this.status.className = `pill s-${delivery.status}`;
      this.status.title = MEANINGS[delivery.status];
      fill(this.status, el("span", { class: "dot", "aria-hidden": "true" }), LABELS[delivery.status]);
      this.button.setAttribute("aria-label", `${LABELS[delivery.status]}: ${delivery.dag_id}, run ${delivery.run_id}`);
      fill(
        run,
        el("span", { class: "dag" }, delivery.dag_id),
        el("span", { class: "run-id", title: delivery.run_id }, delivery.run_id),
      );
      fill(ending, delivery.state ? el("span", { class: `ending e-${delivery.state}` }, delivery.state) : "–");
      fill(
        target,
        el("span", {}, delivery.destination ?? "–"),
        delivery.url ? el("span", { class: "url", title: delivery.url }, delivery.url) : null,
      );
    }
    this.said = said;
    fill(next, nextStep(delivery, now));
    fill(when, time(delivery.created_at, now));
    return changed;
  }

  placeAfter(row, body) {
    const place = row ? row.below.nextSibling : body.firstChild;
    if (place !== this.line) body.insertBefore(this.line, place);
    if (this.line.nextSibling !== this.below) body.insertBefore(this.below, this.line.nextSibling);
  }

  expand() {
    this.button.setAttribute("aria-expanded", "true");
    this.line.classList.add("open");
    this.below.hidden = false;
    if (!this.detail) fill(this.panel, el("p", { class: "muted loading" }, "Loading …"));
  }

  fill(element) {
    const scrolled = [...this.panel.querySelectorAll("pre")].map((pre) => pre.scrollTop);
    const focused = this.panel.contains(document.activeElement) && document.activeElement.className;
    this.detail = element;
    fill(this.panel, element);
    this.panel.querySelectorAll("pre").forEach((pre, index) => (pre.scrollTop = scrolled[index] ?? 0));
    if (focused) ([...this.panel.querySelectorAll("button")].find((b) => b.className === focused) ?? this.button).focus();
  }

  close() {
    this.button.setAttribute("aria-expanded", "false");
    this.line.classList.remove("open");
    this.below.hidden = true;
    this.detail = null;
    fill(this.panel);
  }

  remove() {
    this.line.remove();
    this.below.remove();
  }
}

const cell = (column, ...children) => el("td", { role: "cell", class: column }, ...children);

const time = (seconds, now) =>
  el("time", { datetime: new Date(seconds * 1000).toISOString(), title: exact(seconds) }, relative(seconds, now));

function nextStep(delivery, now) {
  const tried = delivery.attempts ? el("span", { class: "tried" }, `${delivery.attempts} tried`) : null;
  if (delivery.status === "due") return [delivery.due_at <= now ? el("span", {}, "now") : time(delivery.due_at, now), tried];
  if (delivery.status === "leased") return ["under way", tried];
  if (delivery.status === "dead") return ["none", tried];
  return "–";
}
