/* app.js - the live page: what is under way, who runs what, and why somebody does not. */

const REFRESH_MS = 2000;
const STATES = ["applied", "ready", "pending", "failed", "rolled_back"];
const $ = id => document.getElementById(id);
let token = sessionStorage.getItem("token") || "";
let timer = 0;
let last = null;

/* An element with attributes and children; texts from outside only ever become text nodes. */
function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== null && value !== undefined) e.setAttribute(key, value);
  e.append(...children.flat().filter(c => c !== null && c !== undefined && c !== ""));
  return e;
}

async function get(path) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || `${path}: ${answer.status}`), { status: answer.status });
}

/* Every page of a list: names ascend, so a cursor never skips. */
async function all(path, name) {
  const items = [];
  let cursor = null;
  do {
    const separator = path.includes("?") ? "&" : "?";
    const page = await get(`${path}${separator}limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...page[name]);
    cursor = page.next;
  } while (cursor);
  return items;
}

function ago(time) {
  if (!time) return "never";
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

const words = state => state.replace(/_/g, " ");

/* One bar of counts by state; says the same in words for who cannot see it. */
function bar(counts, total, say = words) {
  const parts = STATES.filter(s => counts[s] > 0);
  const text = parts.map(s => `${counts[s]} ${say(s)}`).join(", ") || "nobody yet";
  const track = element("div", { class: "bar", role: "img", "aria-label": text });
  for (const s of parts) {
    const piece = element("span", { class: `piece ${s}` });
    piece.style.flexGrow = String(counts[s] / Math.max(1, total));
    track.append(piece);
  }
  return [track, element("span", { class: "counts" }, text)];
}

function title(r) {
  const changes = r.changes.map(c => `${c.service}/${c.environment} ${c.from_revision} → ${c.to_revision}`).join(", ");
  return [element("strong", {}, changes), element("code", {}, r.id)];
}

async function card(r) {
  const stages = r.stages.map((s, i) => element("li", { class: i === r.stage ? "current" : null },
    element("span", { class: "name" }, s.name), element("span", { class: "size" }, String(s.servers)), bar(s.counts, s.servers)));
  const bad = r.counts.failed
    ? (await get(`/api/v1/rollouts/${r.id}/servers?state=failed&limit=20`)).servers : [];
  return element("article", { class: r.paused ? "paused" : null },
    element("p", { class: "title" }, title(r), element("span", { class: `tag ${r.state}` }, r.paused ? "paused" : words(r.phase))),
    element("p", { class: "reason" }, r.reason),
    element("ol", { class: "stages" }, stages),
    bad.length ? element("ul", { class: "bad" }, bad.map(s => element("li", { title: steps(s) }, element("strong", {}, s.server), ` ${words(s.detail)}: ${s.reason}`))) : null);
}

function table(head, rows, empty) {
  if (!rows.length) return element("p", { class: "empty" }, empty);
  return element("table", {},
    element("thead", {}, element("tr", {}, head.map(h => element("th", { scope: "col" }, h)))),
    element("tbody", {}, rows));
}

const cells = values => values.map(v => element("td", {}, v));

function scopeRows(services, servers) {
  return services.map(s => {
    const there = servers.flatMap(v => v.scopes).filter(x => x.service === s.service && x.environment === s.environment);
    const counts = { applied: there.filter(x => x.revision === s.released && x.state !== "failed").length,
      failed: there.filter(x => x.state === "failed").length };
    counts.ready = there.length - counts.applied - counts.failed;
    const say = state => ({ applied: `run @${s.released}`, ready: "run another revision", failed: "failed" })[state];
    return element("tr", {}, cells([`${s.service}/${s.environment}`, `@${s.released}`,
      s.drafts ? `${s.drafts} draft${s.drafts > 1 ? "s" : ""}` : "", element("div", { class: "adoption" }, bar(counts, there.length, say)), s.rollout || ""]));
  });
}

function serverState(v) {
  if (v.state !== "enrolled") return v.state;
  return v.reachable ? "online" : "offline";
}

function matches(v, filter) {
  const text = [v.name, serverState(v), ...Object.entries(v.labels).map(([k, x]) => `${k}=${x}`),
    ...v.scopes.map(s => `${s.service}/${s.environment} ${s.state} ${s.detail} ${s.reason}`)].join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every(word => text.includes(word));
}

/* How far it came, for whoever points at it: "files 3 ms, reload 12 ms, check failed". */
function steps(s) {
  const failed = s.failed_step ? [`${s.failed_step} failed`] : [];
  const back = [].concat(s.reverted_to || []).map(to => `back on @${to.revision}${to.hash ? ` ${to.hash.slice(0, 12)}` : ""}`);
  return [...(s.steps || []).map(x => `${x.step} ${x.took_ms} ms`), ...failed, ...back].join(", ") || null;
}

function serverRow(v) {
  const runs = v.scopes.map(s => element("div", { class: s.state === "failed" ? "runs failed" : "runs", title: steps(s) },
    `${s.service}/${s.environment}@${s.revision}`,
    s.revision !== s.desired_revision ? ` (wanted @${s.desired_revision})` : "", s.reason ? ` ${s.reason}` : ""));
  const labels = Object.entries(v.labels).map(([k, x]) => `${k}=${x}`).join(" ");
  return element("tr", {}, cells([element("strong", {}, v.name), element("span", { class: `tag ${serverState(v)}` }, serverState(v)),
    ago(v.last_seen), labels, element("div", {}, runs)]));
}

function recentRow(r) {
  const counts = STATES.filter(s => r.counts[s]).map(s => `${r.counts[s]} ${words(s)}`).join(", ");
  return element("tr", {}, cells([element("span", {}, title(r)), element("span", { class: `tag ${r.state}` }, words(r.state)),
    counts, ago(r.finished_at || r.created_at), r.reason]));
}

function drawServers() {
  if (!last) return;
  const shown = last.servers.filter(v => matches(v, $("filter").value));
  $("servers").replaceChildren(table(["Server", "State", "Seen", "Labels", "Runs"], shown.slice(0, 200).map(serverRow),
    last.servers.length ? "No server matches." : "No server is enrolled: lockstep server enroll NAME --scope SERVICE/ENV -- KEY."));
  if (shown.length > 200) $("servers").append(element("p", { class: "empty" }, `${shown.length - 200} more; filter to see them.`));
}

async function draw() {
  const [services, servers, open, recent, ready] = await Promise.all([all("/api/v1/services", "services"), all("/api/v1/servers", "servers"),
    get("/api/v1/rollouts?state=open&limit=20"), get("/api/v1/rollouts?limit=10"), get("/readyz").catch(e => ({ trouble: e.message }))]);
  last = { servers };
  const cards = await Promise.all(open.rollouts.map(card));
  $("open").replaceChildren(...(cards.length ? cards : [element("p", { class: "empty" }, "Nothing: every server runs what is released, or is on its way.")]));
  $("scopes").replaceChildren(table(["Scope", "Released", "Drafts", "Servers", "Rollout"], scopeRows(services, servers),
    "No configuration yet: lockstep config set SERVICE/ENV KEY=VALUE."));
  drawServers();
  const over = recent.rollouts.filter(r => !open.rollouts.some(o => o.id === r.id));
  $("recent").replaceChildren(table(["Rollout", "Ended", "Servers", "When", "Because"], over.map(recentRow), "No rollout ended yet."));
  const online = servers.filter(v => v.reachable).length;
  $("status").textContent = ready.trouble ? ready.trouble : `${online} of ${servers.length} servers online, led by ${ready.leader}`;
  $("status").className = ready.trouble ? "bad" : "";
}

function ask(why) {
  clearTimeout(timer);
  $("view").hidden = true;
  $("login").hidden = false;
  $("status").textContent = why;
  $("token").focus();
}

async function tick() {
  try {
    await draw();
    $("login").hidden = true;
    $("view").hidden = false;
  } catch (e) {
    if (e.status === 401 || e.status === 403) {
      ask(token ? e.message : "an access token is needed");
      return;
    }
    $("status").textContent = `the coordinator does not answer: ${e.message}`;
    $("status").className = "bad";
  }
  timer = setTimeout(tick, REFRESH_MS);
}

$("login").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  $("token").value = "";
  tick();
});
$("filter").addEventListener("input", drawServers);
if (token) tick();
else ask("an access token is needed");
