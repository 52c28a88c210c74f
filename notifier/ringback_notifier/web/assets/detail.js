// One delivery, opened: what was sent, every attempt, and what comes next.

import { el } from "./dom.js";
import { LABELS, MEANINGS, REPORTERS, SENDERS, duration, exact, relative } from "./texts.js";

export function detailOf(delivery, now, { redeliver }) {
  return el(
    "div",
    { class: "detail" },
    el(
      "div",
      { class: "detail-head" },
      el("p", { class: "meaning" }, el("strong", {}, `${LABELS[delivery.status]}. `), MEANINGS[delivery.status]),
      delivery.may_redeliver
        ? el(
            "button",
            { type: "button", class: "primary again", on: { click: () => redeliver(delivery) } },
            delivery.status === "due" ? "Send now" : "Send again",
          )
        : null,
    ),
    el(
      "div",
      { class: "detail-columns" },
      el("div", {}, facts(delivery, now), attempts(delivery)),
      body(delivery),
    ),
  );
}

function facts(delivery, now) {
  const moment = (seconds) =>
    seconds === null ? null : [exact(seconds), el("span", { class: "muted" }, ` · ${relative(seconds, now)}`)];
  const rows = [
    ["Next attempt", delivery.status === "due" ? moment(delivery.due_at) : null],
    ["Being sent by", delivery.leased_by && el("code", {}, delivery.leased_by)],
    ["Callback URL", delivery.url && el("code", {}, delivery.url)],
    ["Event id", el("code", {}, delivery.id)],
    ["DAG run", runLink(delivery)],
    ["Run ended", moment(delivery.ended_at)],
    ["Reported", moment(delivery.created_at)],
    ["Reported by", REPORTERS[delivery.reported_by] ?? delivery.reported_by],
    ["Settled", moment(delivery.settled_at)],
  ];
  return el(
    "dl",
    { class: "facts" },
    rows.filter(([, value]) => value).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat(),
  );
}

// The frame that Airflow shows this page in may not move the window, but a link of the window's own may.
function runLink(delivery) {
  const base = location.pathname.slice(0, location.pathname.lastIndexOf("/ringback/callbacks/"));
  const path = `${base}/dags/${encodeURIComponent(delivery.dag_id)}/runs/${encodeURIComponent(delivery.run_id)}`;
  return el(
    "a",
    {
      href: path,
      on: {
        click: (event) => {
          if (parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          const link = parent.document.createElement("a");
          link.href = path;
          link.click();
        },
      },
    },
    el("code", {}, `${delivery.dag_id} / ${delivery.run_id}`),
  );
}

function attempts({ attempts_made: made }) {
  if (!made.length) return el("p", { class: "muted none-yet" }, "No attempt is on record.");
  return el(
    "section",
    { class: "attempts" },
    el("h3", {}, made.length === 1 ? "1 attempt" : `${made.length} attempts`),
    el(
      "ol",
      { reversed: true, class: "attempt-list" },
      made.toReversed().map((attempt) =>
        el(
          "li",
          { class: attempt.error === null ? "good" : "failed" },
          el(
            "p",
            { class: "attempt-line" },
            el("span", { class: "code" }, attempt.status ?? (attempt.duration > 0 ? "no answer" : "not sent")),
            el("span", {}, `by the ${SENDERS[attempt.sender] ?? attempt.sender}`),
            attempt.duration > 0 ? el("span", { class: "muted" }, `took ${duration(attempt.duration)}`) : null,
            el("time", { class: "muted", datetime: new Date(attempt.at * 1000).toISOString() }, exact(attempt.at)),
          ),
          attempt.error && el("p", { class: "attempt-error" }, attempt.error),
          attempt.excerpt && el("pre", { tabindex: 0, "aria-label": "The answer's beginning" }, attempt.excerpt),
        ),
      ),
    ),
  );
}

function body({ body: sent }) {
  if (!sent) return el("section", { class: "body" }, el("h3", {}, "Event"), el("p", { class: "muted" }, "There is none."));
  const pre = el("pre", { tabindex: 0, "aria-label": "The event's body" }, sent.pretty ?? sent.text);
  const toggle =
    sent.pretty &&
    el(
      "button",
      {
        type: "button",
        class: "plain small",
        "aria-pressed": false,
        on: {
          click: () => {
            const raw = toggle.getAttribute("aria-pressed") === "false";
            toggle.setAttribute("aria-pressed", String(raw));
            pre.textContent = raw ? sent.text : sent.pretty;
            pre.classList.toggle("raw", raw);
          },
        },
      },
      "As sent",
    );
  return el(
    "section",
    { class: "body" },
    el("h3", {}, "Event", toggle),
    pre,
    sent.redacted ? el("p", { class: "muted" }, "“…” stands for what is not shown: queries and passwords of URLs.") : null,
  );
}
