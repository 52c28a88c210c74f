// What things are called, and how times are said.

export const STATUSES = ["dead", "refused", "gone", "due", "leased", "hint", "delivered"];

export const LABELS = {
  delivered: "Delivered",
  due: "Waiting",
  leased: "Sending",
  dead: "Dead letter",
  gone: "Gone",
  refused: "Refused",
  hint: "Unconfirmed",
};

export const MEANINGS = {
  delivered: "The receiver has it.",
  due: "It is to be sent, for the first time or again.",
  leased: "A relay is sending it now.",
  dead: "Given up: the whole schedule of attempts has failed. Once the receiver is mended, send it again.",
  gone: "The receiver answered 410: the caller no longer waits for it.",
  refused:
    "Nothing was sent: the destination's allow-list does not cover the URL, or the request in the run's conf is malformed.",
  hint: "Airflow announced this ending; a relay checks that it is true before it is sent.",
};

export const SENDERS = { task: "final task", callback: "DAG-run callback", relay: "relay" };

export const REPORTERS = {
  task: "the final task",
  callback: "the DAG-run callback",
  listener: "the listener",
  relay: "the relay's sweep",
  reconciler: "the reconciler",
};

// The time zone that is chosen in Airflow's UI, else the browser's.
export const ZONE = (() => {
  try {
    const chosen = (localStorage.getItem("timezone") ?? "").replaceAll('"', "");
    return new Intl.DateTimeFormat("en", { timeZone: chosen || undefined }).resolvedOptions().timeZone;
  } catch {
    return Intl.DateTimeFormat().resolvedOptions().timeZone;
  }
})();

const EXACT = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE, year: "numeric", month: "short", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const exact = (seconds) => EXACT.format(new Date(seconds * 1000));
export const clock = (seconds) => CLOCK.format(new Date(seconds * 1000));

// "3 min. ago", "in 2 hr."
export function relative(seconds, now) {
  const away = seconds - now;
  if (Math.abs(away) < 1) return "now";
  const [unit, size] = UNITS.find(([, each]) => Math.abs(away) >= each) ?? UNITS.at(-1);
  return RELATIVE.format(Math.trunc(away / size), unit);
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.ceil(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.round(seconds)} s`;
}

export const count = ({ number, or_more }) => number.toLocaleString("en") + (or_more ? "+" : "");

// "2026-07-02T10:00" on a clock in ZONE, as Unix seconds; null for what is no time.
export function zoned(text) {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return null;
  let moment = wall;
  for (let step = 0; step < 2; step += 1) moment = wall - offset(moment);
  return moment / 1000;
}

function offset(moment) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: ZONE, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
  }).formatToParts(new Date(moment));
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  const shown = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
  return shown - Math.floor(moment / 1000) * 1000;
}
