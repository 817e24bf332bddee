// An episode on the page: its drawings with their names, and the details under them.

const STRIPS = ["fill", "ops", "axis", "grid", "bars"];
const MARKS = { answered: "✓", partly: "◐", lost: "✗", failed: "–" };

function rowName(question, n, high) {
  const made = button("", () => go({ row: n, detail: "question" }));
  made.className = "rowname";
  made.tabIndex = -1;
  made.style.height = made.style.lineHeight = `${high}px`;
  made.append(
    el("span", question.outcome, MARKS[question.outcome]),
    ` ${brief(question.id, 14)} ${brief(question.question, 60)}`,
  );
  made.title = brief(`${question.outcome} ${question.text} ${question.question}`, 300);
  return made;
}

function legend() {
  const swatch = (name) =>
    shape("svg", { width: 10, height: 10 }, shape("rect", { class: name, width: 10, height: 10 }));
  const mark = (where) => shape("svg", { width: 12, height: 12 }, lossMark(where, 0, 0, 12));
  const entries = [
    [swatch("evidence"), "evidence"],
    [swatch("credit"), "credit"],
    ...["never stored", "refused", "overwritten", "deleted", "not retrieved", "misread"].map(
      (one) => [mark(one), one],
    ),
    ...KINDS.map((kind) => [swatch(kind), kind]),
    ...page.parts.map((name, n) => [swatch(`p${n}`), name]),
  ];
  return el("div", "legend", ...entries.map(([drawn, text]) => el("span", "", drawn, text)));
}

function makePanel(episode, width) {
  indexed(episode);
  const size = layout(episode, view, width);
  const names = size.rows.map((n) => rowName(episode.questions[n], n, size.high));
  const memory =
    episode.limit === null ? "memory tokens, no limit" : `memory tokens of ${episode.limit}`;
  const parts = [drawFill, drawOps, drawGrid, drawBars].map((draw) => draw(episode, size));
  const drawings = [...parts.slice(0, 2), drawAxis(size), ...parts.slice(2)];
  const sides = [memory, "operations", "step", null, "reward of the step"];
  const plot = el("div", "plot");
  drawings.forEach((drawing, n) => {
    drawing.classList.add(STRIPS[n]);
    plot.append(
      el("div", `side ${STRIPS[n]}`, ...(sides[n] === null ? names : [sides[n]])),
      drawing,
    );
    drawing.addEventListener("click", (event) => clicked(event, drawing, size));
  });
  const scroll = el("div", "scroll", plot);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "episode; arrow keys choose step and question");
  const detail = el("div", "detail");
  detail.setAttribute("aria-live", "polite");
  const box = el(
    "section",
    "panel",
    el("h2", "", inline(nameOf(episode), 200)),
    el(
      "p",
      "sum",
      inline(
        `${episode.id}: ${episode.steps.length} steps, ${episode.questions.length} questions; ${episode.settings}`,
      ),
    ),
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
  const shown = [view.first, ...(view.second < 0 ? [] : [view.second])].map(
    (n) => page.episodes[n],
  );
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
    for (const drawing of drawings)
      drawing.querySelector(".cursor").setAttribute("x", x < 0 ? -99 : x);
    const row = size.rows.indexOf(view.row);
    drawings[3].querySelector(".cursor.row").setAttribute("y", row < 0 ? -99 : row * size.high);
    names.forEach((name, n) => name.classList.toggle("now", n === row));
    reveal(
      scroll,
      "Left",
      x,
      size.wide,
      scroll.querySelector(".side").offsetWidth,
      scroll.clientWidth,
    );
    const tops = HIGH.fill + HIGH.ops + HIGH.axis;
    reveal(scroll, "Top", row * size.high, size.high, tops, scroll.clientHeight - HIGH.bars);
    const asked = episode.questions[view.row];
    const there = view.detail === "question" ? asked : episode.steps[view.step];
    const words = !there
      ? [el("p", "soft", "not in this episode")]
      : view.detail === "question"
        ? questionDetail(episode, view.row, go)
        : stepDetail(episode, view.step, go, page.parts);
    detail.replaceChildren(...words);
  }
}

/** Scroll so that what starts at `start` lies between what sticks to the edges. */
function reveal(scroll, edge, start, length, before, room) {
  const key = `scroll${edge}`;
  if (start < scroll[key]) scroll[key] = Math.max(0, start);
  else if (start + length + before - scroll[key] > room)
    scroll[key] = start + length + before - room;
}
