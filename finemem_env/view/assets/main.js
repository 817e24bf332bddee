// Keys, newer episodes, and the start.

/** The neighbour of a value in a list of those that are shown. */
function near(list, value, by) {
  const place = list.indexOf(value);
  const next = place < 0 ? 0 : Math.max(0, Math.min(list.length - 1, place + by));
  return list.length ? list[next] : value;
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const held = event.target instanceof Element && event.target.closest("select,input,summary,pre");
  if (held || (event.key === "Enter" && event.target.closest("button"))) return;
  const { columns, rows } = panels[0].size;
  const other = beside();
  const keys = {
    ArrowLeft: () => ({ step: near(columns, view.step, -1), detail: "step" }),
    ArrowRight: () => ({ step: near(columns, view.step, 1), detail: "step" }),
    ArrowUp: () => ({ row: near(rows, view.row, -1), detail: "question" }),
    ArrowDown: () => ({ row: near(rows, view.row, 1), detail: "question" }),
    Home: () => ({ step: columns[0] || 0, detail: "step" }),
    End: () => ({ step: columns[columns.length - 1] || 0, detail: "step" }),
    Enter: () => ({ detail: view.detail === "step" ? "question" : "step" }),
    n: () => ({ first: near(taken(), view.first, 1) }),
    p: () => ({ first: near(taken(), view.first, -1) }),
    w: () => ({ wrong: !view.wrong }),
    r: () => ({ rejected: !view.rejected }),
    b: () => ({
      second: view.second < 0 && other.length ? other[0] : near([...other, -1], view.second, 1),
    }),
  };
  if (event.key === "?") toggleHelp();
  else if (event.key in keys) go(keys[event.key]());
  else return;
  event.preventDefault();
}

function toggleHelp() {
  at("help").hidden = !at("help").hidden;
  at("keys").setAttribute("aria-expanded", String(!at("help").hidden));
}

/** Ask the server for newer episodes; stay at the newest where that was chosen. */
async function follow(tag) {
  let seen = tag;
  try {
    const reply = await fetch("/data", { headers: { "If-None-Match": tag } });
    if (reply.status === 200) {
      seen = reply.headers.get("ETag") || "";
      renew(await reply.json());
    }
    at("note").textContent = page.note;
  } catch {
    at("note").textContent = "the server does not answer; this is what was there last";
  }
  setTimeout(() => follow(seen), 2000);
}

function renew(fresh) {
  const chosen = [view.first, view.second].map((n) => (n < 0 ? "" : keyOf(page.episodes[n])));
  const newest = view.first === page.episodes.length - 1;
  Object.assign(page, fresh);
  const find = (key) => page.episodes.findIndex((one) => keyOf(one) === key);
  const first = newest ? page.episodes.length - 1 : Math.max(0, find(chosen[0]));
  go({ first, second: find(chosen[1]) });
}

function start() {
  document.title = at("title").textContent = visible(page.title);
  at("note").textContent = page.note;
  const chosen = recall();
  if (page.follow && !location.hash) chosen.first = page.episodes.length - 1;
  go(chosen);
  at("task").addEventListener("change", (event) => go({ task: event.target.value }));
  at("first").addEventListener("change", (event) => go({ first: Number(event.target.value) }));
  at("second").addEventListener("change", (event) => go({ second: Number(event.target.value) }));
  at("wrong").addEventListener("change", (event) => go({ wrong: event.target.checked }));
  at("rejected").addEventListener("change", (event) => go({ rejected: event.target.checked }));
  at("keys").addEventListener("click", toggleHelp);
  addEventListener("keydown", onKey);
  addEventListener("hashchange", () => go(recall()));
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => go({ first: view.first }), 150);
  });
  if (page.follow) follow("");
}

start();
