// What is chosen, the panels, the keys; nothing else keeps state.

const page = JSON.parse(document.getElementById("data").textContent);
const view = { task: "", first: 0, second: -1, step: 0, row: 0, detail: "question", wrong: false, rejected: false };
const at = (id) => document.getElementById(id);
let panels = [];

function nameOf(episode) {
  const place = [episode.task, episode.budget && `budget ${episode.budget}`, episode.agent];
  return `${brief(place.filter(Boolean).join(" "), 60)} · episode ${episode.episode} · ${number(episode.score)}`;
}

const keyOf = (episode) => JSON.stringify([episode.task, episode.budget, episode.agent, episode.episode]);

/** Items by the step that brought and that ended them, once an episode. */
function indexed(episode) {
  if (episode.starts) return episode;
  episode.starts = episode.steps.map(() => []);
  episode.ends = episode.steps.map(() => []);
  episode.items.forEach((item, place) => {
    episode.starts[item[2]].push(place);
    if (item[3] !== null) episode.ends[item[3]].push(place);
  });
  return episode;
}

const taken = () => page.episodes.map((one, n) => n).filter((n) => !view.task || page.episodes[n].task === view.task);

function beside() {
  const own = page.episodes[view.first];
  return page.episodes.map((one, n) => n).filter((n) => n !== view.first && page.episodes[n].id === own.id);
}

function fill(select, entries, value) {
  select.replaceChildren(
    ...entries.map(([key, text]) => {
      const option = el("option", "", text);
      option.value = key;
      return option;
    }),
  );
  select.value = String(value);
}

function fillChoices() {
  const tasks = [...new Set(page.episodes.map((one) => one.task))];
  at("task").parentElement.hidden = tasks.length < 2;
  fill(at("task"), [["", "all"], ...tasks.filter(Boolean).map((task) => [task, brief(task, 60)])], view.task);
  fill(at("first"), taken().map((n) => [n, nameOf(page.episodes[n])]), view.first);
  fill(at("second"), [[-1, "nothing"], ...beside().map((n) => [n, nameOf(page.episodes[n])])], view.second);
  at("wrong").checked = view.wrong;
  at("rejected").checked = view.rejected;
}

/** Change what is chosen and draw what that touches. */
function go(change) {
  const drawn = ["task", "first", "second", "wrong", "rejected"].some((key) => key in change);
  Object.assign(view, change);
  const own = taken();
  if (!own.includes(view.first) && own.length) view.first = own[0];
  if (!beside().includes(view.second)) view.second = -1;
  const episode = page.episodes[view.first];
  view.step = Math.max(0, Math.min(view.step, episode.steps.length - 1));
  view.row = Math.max(0, Math.min(view.row, episode.questions.length - 1));
  if (drawn) drawPanels();
  showChoice();
  remember();
}

function remember() {
  const { first, second, step, row, detail, wrong, rejected } = view;
  const parts = { e: first, b: second, s: step, q: row, d: detail, w: +wrong, r: +rejected };
  const hash = "#" + new URLSearchParams(parts);
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const whole = (key, value) => (/^-?\d+$/.test(parts.get(key) || "") ? Number(parts.get(key)) : value);
  const first = Math.max(0, Math.min(whole("e", 0), page.episodes.length - 1));
  const detail = parts.get("d") === "step" ? "step" : "question";
  const flags = { wrong: parts.get("w") === "1", rejected: parts.get("r") === "1" };
  return { first, second: whole("b", -1), step: whole("s", 0), row: whole("q", 0), detail, ...flags };
}

const STRIPS = ["fill", "ops", "axis", "grid", "bars"];
const MARKS = { answered: "✓", partly: "◐", lost: "✗", failed: "–" };

function rowName(question, n, high) {
  const made = button("", () => go({ row: n, detail: "question" }));
  made.className = "rowname";
  made.tabIndex = -1;
  made.style.height = made.style.lineHeight = `${high}px`;
  made.append(el("span", question.outcome, MARKS[question.outcome]), ` ${brief(question.id, 14)} ${brief(question.question, 60)}`);
  made.title = brief(`${question.outcome} ${question.text} ${question.question}`, 300);
  return made;
}

function legend() {
  const swatch = (name) => shape("svg", { width: 10, height: 10 }, shape("rect", { class: name, width: 10, height: 10 }));
  const mark = (where) => shape("svg", { width: 12, height: 12 }, lossMark(where, 0, 0, 12));
  const entries = [
    [swatch("evidence"), "evidence"], [swatch("credit"), "credit"],
    ...["never stored", "refused", "overwritten", "deleted", "not retrieved", "misread"].map((one) => [mark(one), one]),
    ...KINDS.map((kind) => [swatch(kind), kind]),
    ...page.parts.map((name, n) => [swatch(`p${n}`), name]),
  ];
  return el("div", "legend", ...entries.map(([drawn, text]) => el("span", "", drawn, text)));
}

function makePanel(episode, width) {
  indexed(episode);
  const size = layout(episode, view, width);
  const names = size.rows.map((n) => rowName(episode.questions[n], n, size.high));
  const memory = episode.limit === null ? "memory tokens, no limit" : `memory tokens of ${episode.limit}`;
  const parts = [drawFill, drawOps, drawGrid, drawBars].map((draw) => draw(episode, size));
  const drawings = [...parts.slice(0, 2), drawAxis(size), ...parts.slice(2)];
  const sides = [memory, "operations", "step", null, "reward of the step"];
  const plot = el("div", "plot");
  drawings.forEach((drawing, n) => {
    drawing.classList.add(STRIPS[n]);
    plot.append(el("div", `side ${STRIPS[n]}`, ...(sides[n] === null ? names : [sides[n]])), drawing);
    drawing.addEventListener("click", (event) => clicked(event, drawing, size));
  });
  const scroll = el("div", "scroll", plot);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "episode; arrow keys choose step and question");
  const detail = el("div", "detail");
  const box = el(
    "section",
    "panel",
    el("h2", "", inline(nameOf(episode), 200)),
    el("p", "sum", inline(`${episode.id}: ${episode.steps.length} steps, ${episode.questions.length} questions; ${episode.settings}`)),
    ...episode.notes.map((note) => el("p", "sum", inline(note))),
    el("div", "body", scroll, detail),
  );
  return { episode, size, names, drawings, scroll, detail, box };
}

function clicked(event, drawing, size) {
  const box = drawing.getBoundingClientRect();
  const step = size.columns[Math.floor((event.clientX - box.left) / size.wide)];
  const row = size.rows[Math.floor((event.clientY - box.top) / size.high)];
  if (step === undefined) return;
  const inGrid = drawing.classList.contains("grid") && row !== undefined;
  go(inGrid ? { step, row, detail: "question" } : { step, detail: "step" });
}

function drawPanels() {
  fillChoices();
  const shown = [view.first, ...(view.second < 0 ? [] : [view.second])].map((n) => page.episodes[n]);
  const box = at("panels");
  box.classList.toggle("two", shown.length > 1);
  const narrow = innerWidth <= 900;
  const side = innerWidth <= 600 ? 104 : 190;
  const width = (innerWidth - 40) / (narrow ? 1 : shown.length) - side - 24;
  panels = shown.map((episode) => makePanel(episode, width));
  box.replaceChildren(legend(), ...panels.map((panel) => panel.box));
  box.firstChild.style.gridColumn = "1 / -1";
}

/** The cursor in every panel, and the details under it. */
function showChoice() {
  for (const { episode, size, names, drawings, scroll, detail } of panels) {
    const x = size.columns.indexOf(view.step) * size.wide;
    for (const drawing of drawings) drawing.querySelector(".cursor").setAttribute("x", x < 0 ? -99 : x);
    const row = size.rows.indexOf(view.row);
    drawings[3].querySelector(".cursor.row").setAttribute("y", row < 0 ? -99 : row * size.high);
    names.forEach((name, n) => name.classList.toggle("now", n === row));
    reveal(scroll, "Left", x, size.wide, scroll.querySelector(".side").offsetWidth, scroll.clientWidth);
    const tops = HIGH.fill + HIGH.ops + HIGH.axis;
    reveal(scroll, "Top", row * size.high, size.high, tops, scroll.clientHeight - HIGH.bars);
    const asked = episode.questions[view.row];
    const there = view.detail === "question" ? asked : episode.steps[view.step];
    const words = !there ? [el("p", "soft", "not in this episode")]
      : view.detail === "question" ? questionDetail(episode, view.row, go)
      : stepDetail(episode, view.step, go, page.parts);
    detail.replaceChildren(...words);
  }
}

/** Scroll so that what starts at `start` lies between what sticks to the edges. */
function reveal(scroll, edge, start, length, before, room) {
  const key = `scroll${edge}`;
  if (start < scroll[key]) scroll[key] = Math.max(0, start);
  else if (start + length + before - scroll[key] > room) scroll[key] = start + length + before - room;
}

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
    b: () => ({ second: view.second < 0 && other.length ? other[0] : near([...other, -1], view.second, 1) }),
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
