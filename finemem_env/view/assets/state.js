// What is chosen: the only state of the page, which its address holds as well.

const page = JSON.parse(document.getElementById("data").textContent);
const view = {
  task: "",
  first: 0,
  second: -1,
  step: 0,
  row: 0,
  detail: "question",
  wrong: false,
  rejected: false,
};
const at = (id) => document.getElementById(id);
let panels = [];

function nameOf(episode) {
  const place = [episode.task, episode.budget && `budget ${episode.budget}`, episode.agent];
  return `${brief(place.filter(Boolean).join(" "), 60)} · episode ${episode.episode} · ${number(episode.score)}`;
}

const keyOf = (episode) =>
  JSON.stringify([episode.task, episode.budget, episode.agent, episode.episode]);

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

const taken = () =>
  page.episodes.map((one, n) => n).filter((n) => !view.task || page.episodes[n].task === view.task);

function beside() {
  const own = page.episodes[view.first];
  return page.episodes
    .map((one, n) => n)
    .filter((n) => n !== view.first && page.episodes[n].id === own.id);
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
  fill(
    at("task"),
    [["", "all"], ...tasks.filter(Boolean).map((task) => [task, brief(task, 60)])],
    view.task,
  );
  fill(
    at("first"),
    taken().map((n) => [n, nameOf(page.episodes[n])]),
    view.first,
  );
  fill(
    at("second"),
    [[-1, "nothing"], ...beside().map((n) => [n, nameOf(page.episodes[n])])],
    view.second,
  );
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

/** Where the episode is that an address names, as [task, budget, agent, number]. */
function place(text) {
  let key = "";
  try {
    key = JSON.stringify(JSON.parse(text));
  } catch {}
  const found = page.episodes.findIndex((one) => keyOf(one) === key);
  return found < 0 ? null : found;
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const whole = (key, value) =>
    /^-?\d+$/.test(parts.get(key) || "") ? Number(parts.get(key)) : value;
  const named = place(parts.get("at"));
  const first = Math.max(0, Math.min(named ?? whole("e", 0), page.episodes.length - 1));
  const detail = parts.get("d") === "step" ? "step" : "question";
  const flags = { wrong: parts.get("w") === "1", rejected: parts.get("r") === "1" };
  return {
    first,
    second: whole("b", -1),
    step: whole("s", 0),
    row: whole("q", 0),
    detail,
    ...flags,
  };
}
