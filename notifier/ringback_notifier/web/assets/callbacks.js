// The page: what is asked for, the list, its pages, and looking again every few seconds.

import { get, post } from "./api.js";
import { detailOf } from "./detail.js";
import { ask } from "./dialog.js";
import { byId, el, fill, say, show } from "./dom.js";
import { emptyList } from "./empty.js";
import { Filters } from "./filters.js";
import { List } from "./list.js";
import { clock, count, exact } from "./texts.js";
import { followTheme } from "./theme.js";

const ROWS = 50;
const STEPS = 8; // of a search in one go; then the user is asked
const OFTEN = 5_000;
const SOON = 1_000;
const SELDOM = 60_000;

followTheme();

const state = { places: [null], live: true, timer: null, soonUntil: 0, turn: 0, failures: 0, seen: null };
const filters = new Filters(() => {
  state.places = [null];
  refresh({ asked: true });
});
const list = new List(async (id) => {
  try {
    const delivery = await get(`deliveries/${encodeURIComponent(id)}`);
    return detailOf(delivery, Date.now() / 1000, { redeliver });
  } catch (problem) {
    return el("p", { class: "bad-words" }, problem.message);
  }
});

// --- looking

async function refresh({ asked = false } = {}) {
  clearTimeout(state.timer);
  const turn = ++state.turn;
  const started = performance.now();
  try {
    const wanted = filters.asked(Date.now() / 1000);
    const counting = filters.ofRun ? null : get("counts", { ...wanted, status: "" });
    counting?.catch(() => {});
    const found = await search(wanted, state.places.at(-1));
    if (turn !== state.turn) return;
    draw(found, asked);
    if (counting) {
      const { counts } = await counting;
      if (turn !== state.turn) return;
      filters.showCounts(counts);
    }
    state.failures = 0;
    show(byId("problem"), false);
  } catch (problem) {
    if (turn !== state.turn) return;
    state.failures += 1;
    fill(byId("problem"), problem.message);
    show(byId("problem"), true);
    if (problem.status === 401 || problem.status === 403) state.live = false;
  }
  plan(performance.now() - started);
}

// Looking again takes at most a twentieth of the time, so that a slow database is left in peace.
function plan(took) {
  byId("live").setAttribute("aria-pressed", String(state.live));
  if (!state.live || document.hidden) return;
  const usual = Date.now() < state.soonUntil ? SOON : OFTEN;
  const wait = state.failures ? Math.min(OFTEN * 2 ** state.failures, SELDOM) : Math.max(usual, 20 * took);
  state.timer = setTimeout(refresh, Math.min(wait, SELDOM));
}

// A page may be short because its search was cut short: go on from there for a while.
async function search(wanted, place) {
  let found = await get("deliveries", { ...wanted, after: place, limit: ROWS });
  const rows = found.rows;
  for (let step = 1; step < STEPS && found.next && rows.length < ROWS; step += 1) {
    found = await get("deliveries", { ...wanted, after: found.next, limit: ROWS - rows.length });
    rows.push(...found.rows);
  }
  return { ...found, rows };
}

function draw(found, asked) {
  const first = state.places.length === 1;
  show(byId("controls"), !filters.ofRun && !found.no_outbox);
  list.show(found.rows, found.now);
  show(byId("list"), found.rows.length > 0);
  const over = found.next === null;
  const empty = found.rows.length === 0 && over && first;
  show(byId("empty"), empty);
  if (empty) fill(byId("empty"), emptyList(found, filters));
  const short = found.searched_to !== null && found.rows.length < ROWS;
  show(byId("searched"), short);
  if (short) {
    fill(byId("searched"), `Searched back to ${exact(found.searched_to)}; ${found.rows.length || "nothing"} found so far.`);
  }
  state.next = found.next;
  show(byId("pages"), !first || !over);
  byId("newer").disabled = first;
  byId("older").disabled = over;
  byId("older").textContent = short ? "Search further back ›" : "Older ›";
  byId("page-number").textContent = `Page ${state.places.length}`;
  byId("updated").textContent = `Updated ${clock(found.now)}`;
  drawRelay(found);
  show(byId("redeliver-all"), found.may_edit && !filters.ofRun);
  const newest = found.rows[0]?.id ?? null;
  if (asked) say(found.rows.length === 1 ? "1 delivery" : `${found.rows.length} deliveries on this page`);
  else if (first && state.seen !== newest && newest) say("There are new deliveries.");
  state.seen = newest;
}

function drawRelay({ relays }) {
  const relay = byId("relay");
  show(relay, Boolean(relays));
  if (!relays) return;
  relay.className = relays.alive ? "relay alive" : "relay down";
  const words = relays.alive
    ? "Relay running"
    : relays.known
      ? "No relay is running: nothing is retried. Unpause the DAG ringback_relay, or run: ringback relay"
      : "No relay has ever run: nothing is retried. Put the DAG ringback_relay into the DAG folder, or run: ringback relay";
  if (relay.textContent !== words) fill(relay, el("span", { class: "dot", "aria-hidden": "true" }), words);
}

// --- sending again

async function redeliver(delivery) {
  const send = async () => {
    const { count: due } = await post("redeliver", { event_ids: [delivery.id] });
    if (!due) throw new Error("It is being sent just now, or was deleted meanwhile.");
    say("It is sent again.");
    state.soonUntil = Date.now() + 30_000;
  };
  if (delivery.status !== "delivered") {
    try {
      await send();
    } catch (problem) {
      await ask({ title: "It was not sent again", words: el("p", {}, problem.message) });
    }
  } else {
    await ask({
      title: "Send it again?",
      words: el("p", {}, "The receiver has this event already, and takes it as a duplicate if it still remembers it."),
      agree: "Send again",
      act: async (tell) => {
        await send();
        tell(el("p", {}, "It is due again; a relay sends it."));
      },
    });
  }
  await refresh();
}

async function redeliverAll() {
  const now = Date.now() / 1000;
  const wanted = filters.asked(now);
  const conditions = filters.inWords(); // at the same moment: the controls may change while the server counts
  wanted.until = Math.min(wanted.until ?? now, now); // what comes meanwhile is not meant
  let found;
  try {
    found = await get("redeliverable", wanted);
  } catch (problem) {
    await ask({ title: "Send all matching again", words: el("p", {}, problem.message) });
    return;
  }
  const which = conditions.length
    ? [el("p", {}, "They match:"), el("ul", {}, conditions.map((words) => el("li", {}, words)))]
    : el("p", {}, el("strong", {}, "No filter is set: that is everything that was given up or refused."));
  const none = found.number === 0 && !found.or_more;
  await ask({
    title: none ? "Nothing to send again" : `Send ${count(found)} ${found.number === 1 && !found.or_more ? "delivery" : "deliveries"} again?`,
    words: none
      ? el("p", {}, "No dead letter, refused or gone delivery matches, of a DAG whose runs you may edit.")
      : [
          which,
          el("p", { class: "muted" }, "Only dead letters, refused and gone ones, of DAGs whose runs you may edit. Each begins a new schedule of attempts."),
        ],
    agree: none ? null : `Send ${count(found)} again`,
    act: async (tell, stopped) => {
      let [done, after] = [0, null];
      do {
        const step = await post("redeliver", { filter: wanted, after });
        done += step.count;
        after = step.next;
        tell(el("p", {}, `${done.toLocaleString("en")} sent again${after ? " so far …" : "; the relay delivers them."}`));
      } while (after && !stopped());
      say(`${done} deliveries are sent again.`);
      state.soonUntil = Date.now() + 30_000;
      refresh();
    },
  });
}

// --- controls

byId("redeliver-all").addEventListener("click", redeliverAll);
byId("live").addEventListener("click", () => {
  state.live = !state.live;
  refresh();
});
byId("older").addEventListener("click", () => turnTo([...state.places, state.next]));
byId("newer").addEventListener("click", () => turnTo(state.places.slice(0, -1)));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.live) refresh();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !byId("dialog").open && list.closeOpen()) event.preventDefault();
});

async function turnTo(places) {
  state.places = places;
  await refresh({ asked: true });
  scrollTo(0, 0);
}

if (filters.ofRun) {
  byId("title").textContent = "Callbacks of this run";
  document.body.classList.add("of-run");
}
refresh({ asked: true });
