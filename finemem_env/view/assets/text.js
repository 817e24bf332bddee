// Text of agents and data: only ever written as text, with what is not seen spelled out.

const SVG = "http://www.w3.org/2000/svg";
const FIRST = 4000; // characters of a text that are shown at once
const MORE = 40000;
const ITEMS = 50; // entries of a list that are shown at once

/** The text with controls and marks of direction as \u202e. UNSEEN comes from finemem_env.console. */
function visible(text) {
  return text.replace(UNSEEN, (mark) => "\\u" + mark.codePointAt(0).toString(16).padStart(4, "0"));
}

/** The start of a text as one line. */
function brief(text, most) {
  const line = visible(text.slice(0, 4 * most))
    .replace(/\s+/g, " ")
    .trim();
  return line.length > most || text.length > 4 * most ? line.slice(0, most - 1) + "…" : line;
}

/** An element with a class and children; strings become text. */
function el(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}

/** An element of a drawing with its attributes. */
function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Inline text of an agent or of data. */
function inline(text, most = 400) {
  return el("bdi", "inline", brief(text, most));
}

function button(text, act) {
  const made = el("button", "", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/** A block of text, its beginning first; a button brings more of it. */
function block(text) {
  const box = el("div", "");
  const shown = el("pre", "text", visible(text.slice(0, FIRST)));
  shown.dir = "auto";
  box.append(shown);
  let end = FIRST;
  if (text.length > end) {
    const more = button("", () => {
      shown.append(visible(text.slice(end, end + MORE)));
      end += MORE;
      name();
    });
    const name = () => {
      const left = text.length - end;
      if (left <= 0) more.remove();
      else more.textContent = `${Math.min(left, MORE)} of ${left} more characters`;
    };
    name();
    box.append(more);
  }
  return box;
}

/** Two versions of a text: what they share at both ends, and the rest struck out and put in. */
function changed(before, after) {
  const [a, b] = [before.slice(0, FIRST), after.slice(0, FIRST)];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (
    end < Math.min(a.length, b.length) - start &&
    a[a.length - 1 - end] === b[b.length - 1 - end]
  )
    end++;
  const cut = before.length > FIRST || after.length > FIRST ? "…" : "";
  const shown = el("pre", "text", visible(a.slice(0, start)));
  shown.dir = "auto";
  if (a.length - end > start) shown.append(el("del", "", visible(a.slice(start, a.length - end))));
  if (b.length - end > start) shown.append(el("ins", "", visible(b.slice(start, b.length - end))));
  shown.append(visible(b.slice(b.length - end)) + cut);
  return shown;
}

/** A long list: some entries, and a button for as many again. */
function many(entries, make) {
  const box = el("div", "");
  let end = 0;
  const more = button("", () => grow());
  const grow = () => {
    const next = entries.slice(end, end + ITEMS).map(make);
    end += next.length;
    more.remove();
    box.append(...next);
    if (end < entries.length) {
      more.textContent = `${Math.min(ITEMS, entries.length - end)} of ${entries.length - end} more`;
      box.append(more);
    }
  };
  grow();
  return box;
}

/** Pictures and sounds by name, with their text; what is shown comes from the page itself. */
function pictures(episode, names) {
  return (names || []).map((name) => {
    const one = Object.hasOwn(episode.media, name) ? episode.media[name] : null;
    if (!one) return el("p", "soft", inline(`${name} is not in the trace`));
    const box = el("figure", "");
    if (one.uri.startsWith("data:")) {
      const shown = el(one.kind === "audio" ? "audio" : "img", "");
      if (one.kind === "audio") shown.controls = true;
      else shown.alt = brief(one.text || name, 200);
      shown.src = one.uri;
      box.append(shown);
    }
    const told = one.text ? `: ${one.text}` : "";
    box.append(el("figcaption", "", inline(`${one.kind} ${name}, ${one.tokens} tokens${told}`)));
    return box;
  });
}
