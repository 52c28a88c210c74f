// The page's questions to the server it came from.  Addresses are relative: they hold under any prefix.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const get = (path, asked = {}) => request(`api/${path}${query(asked)}`);

export const post = (path, order) =>
  request(`api/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
  });

export function query(asked) {
  const parts = Object.entries(asked)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return parts.length ? `?${parts.join("&")}` : "";
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, redirect: "error", signal: AbortSignal.timeout(30_000) });
  } catch {
    throw new Problem(0, "Airflow's API server does not answer.");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  if (answer.status === 401) throw new Problem(401, "You are signed out. Sign in to Airflow again, and reload.");
  const detail = typeof said.detail === "string" ? said.detail : `Airflow's API server answered ${answer.status}.`;
  throw new Problem(answer.status, detail);
}
