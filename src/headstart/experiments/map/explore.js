"use strict";
const at = id => document.getElementById(id);
const facts = JSON.parse(at("facts").textContent);
const n = facts.names.length;
const sheets = [...document.querySelectorAll("img.sheet")];
const canvas = at("map"), pen = canvas.getContext("2d");
const view = {x: 0.5, y: 0.5, zoom: 1};
const selected = new Set(), dimmed = new Set();
let under = -1, line = null, dragged = null, mode = "lasso";

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
// The golden angle keeps neighbours in the list apart.
const hue = k => `oklch(${isDark() ? 76 : 58}% 0.14 ${(k * 137.508 + 30) % 360})`;
const STEPS = 8;
const step = share => Math.min(STEPS - 1, Math.floor(share * STEPS));

const splits = [...new Set(facts.split)];
const ways = {
  class: {title: "Classes", of: i => facts.label[i], names: facts.classes, colour: hue},
  mistake: {
    title: "Judged by a classifier that had not seen the image",
    of: i => facts.isWrong[i] ? 1 : facts.predicted[i] === "" ? 2 : 0,
    names: ["right", "wrong", "not judged"],
    colour: k => [css("--blue4"), css("--orange5"), css("--line")][k],
  },
  novelty: {
    title: "More novel than this share of the images",
    of: i => facts.novelty[i] === null ? STEPS : step(facts.novelty[i]),
    names: [...[...Array(STEPS).keys()].map(k => `${Math.round(100 * k / STEPS)} %`), "not measured"],
    colour: k => css(k === STEPS ? "--line" : `--blue${k}`),
  },
  split: {title: "Split", of: i => splits.indexOf(facts.split[i]), names: splits, colour: k => hue(3 * k)},
};
let way = ways.class;

function size() {
  const box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  draw();
}
// The longer side of the map is 1.
const span = values => values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b));
const wide = Math.max(0.5, span(facts.x)), high = Math.max(0.5, span(facts.y));
canvas.style.aspectRatio = `${wide} / ${high}`;
const scale = () => Math.min(canvas.width / wide, canvas.height / high) * 0.94 * view.zoom;
const px = i => (facts.x[i] - view.x) * scale() + canvas.width / 2;
const py = i => canvas.height / 2 - (facts.y[i] - view.y) * scale();

function mark(i, r) {
  pen.beginPath();
  if (way === ways.mistake && facts.isWrong[i]) {  // not by colour alone
    pen.moveTo(px(i) - r, py(i) - r); pen.lineTo(px(i) + r, py(i) + r);
    pen.moveTo(px(i) + r, py(i) - r); pen.lineTo(px(i) - r, py(i) + r);
    pen.stroke();
  } else {
    pen.arc(px(i), py(i), r, 0, 7);
    pen.fill();
  }
}

let asked = 0;
function draw() {
  if (!asked) asked = requestAnimationFrame(() => { asked = 0; paint(); });
}
function paint() {
  const ratio = devicePixelRatio || 1;
  const r = Math.max(1.8, Math.min(5, 90 / Math.sqrt(n))) * ratio * Math.min(2, Math.sqrt(view.zoom));
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = 1.6 * ratio;
  const colours = way.names.map((_, k) => way.colour(k));
  for (let i = 0; i < n; i++) {
    const k = way.of(i);
    pen.globalAlpha = dimmed.has(k) ? 0.08 : 0.85;
    pen.fillStyle = pen.strokeStyle = colours[k];
    mark(i, r);
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = css("--ink");
  for (const i of selected) ring(i, r + 2 * ratio);
  if (under >= 0) { pen.lineWidth = 2.5 * ratio; ring(under, r + 5 * ratio); }
  if (line && line.length > 1) {
    pen.beginPath();
    line.forEach(([x, y], k) => k ? pen.lineTo(x, y) : pen.moveTo(x, y));
    pen.setLineDash([6 * ratio, 4 * ratio]);
    pen.stroke();
    pen.setLineDash([]);
  }
}
function ring(i, r) {
  pen.beginPath();
  pen.arc(px(i), py(i), r, 0, 7);
  pen.stroke();
}

function thumbnail(i, side) {
  const small = document.createElement("canvas"), each = facts.perRow * facts.perRow;
  small.width = small.height = side;
  const row = Math.floor(i % each / facts.perRow), column = i % facts.perRow;
  small.getContext("2d").drawImage(
    sheets[Math.floor(i / each)], column * facts.px, row * facts.px, facts.px, facts.px, 0, 0, side, side);
  return small;
}
const paragraph = (text, kind) => {
  const p = document.createElement("p");
  p.textContent = text;
  if (kind) p.className = kind;
  return p;
};
function show(i) {
  if (i === under) return;
  under = i;
  if (i >= 0) {
    const label = facts.classes[facts.label[i]], said = facts.predicted[i];
    const judged = said === "" ? "not judged" : facts.isWrong[i] ? `taken for ${said}` : "classified correctly";
    at("about").replaceChildren(
      thumbnail(i, 96),
      paragraph(`${label} (${facts.split[i]}), ${judged}` + (facts.novelty[i] === null ? ""
        : `; more novel than ${Math.round(100 * facts.novelty[i])} %`)),
      paragraph(facts.names[i], "name"));
  }
  draw();
}

function place(event) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
  return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
}
function nearest(x, y) {
  let best = -1, least = (14 * (devicePixelRatio || 1)) ** 2;
  for (let i = 0; i < n; i++) {
    if (dimmed.has(way.of(i))) continue;
    const d = (px(i) - x) ** 2 + (py(i) - y) ** 2;
    if (d < least) { least = d; best = i; }
  }
  return best;
}
function isInside(x, y, polygon) {
  let inside = false;
  for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
    const [xa, ya] = polygon[a], [xb, yb] = polygon[b];
    if (ya > y !== yb > y && x < (xb - xa) * (y - ya) / (yb - ya) + xa) inside = !inside;
  }
  return inside;
}
function toggle(i) {
  if (i < 0) return;
  if (!selected.delete(i)) selected.add(i);
  tell();
}
function tell() {
  at("count").textContent = `${selected.size.toLocaleString("en")} selected`;
  at("save").disabled = at("clear").disabled = selected.size === 0;
  at("picked").replaceChildren(...[...selected].slice(0, 60).map(i => thumbnail(i, 48)));
  draw();
}

canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  const spot = place(event);
  if (mode === "pan" || event.shiftKey) dragged = {spot, x: view.x, y: view.y};
  else line = [spot];
});
canvas.addEventListener("pointermove", event => {
  const spot = place(event);
  if (dragged) {
    view.x = dragged.x - (spot[0] - dragged.spot[0]) / scale();
    view.y = dragged.y + (spot[1] - dragged.spot[1]) / scale();
    draw();
  } else if (line) { line.push(spot); draw(); }
  else show(nearest(...spot));
});
function lifted(event) {
  if (line) {
    const xs = line.map(p => p[0]), ys = line.map(p => p[1]);
    const isClick = Math.max(...xs) - Math.min(...xs) + Math.max(...ys) - Math.min(...ys) < 8;
    if (isClick) { show(nearest(...place(event))); toggle(under); }
    else {
      for (let i = 0; i < n; i++)
        if (!dimmed.has(way.of(i)) && isInside(px(i), py(i), line)) selected.add(i);
      tell();
    }
  }
  line = dragged = null;
  draw();
}
canvas.addEventListener("pointerup", lifted);
canvas.addEventListener("pointercancel", () => { line = dragged = null; draw(); });
function zoom(by, x = canvas.width / 2, y = canvas.height / 2) {
  const before = scale();
  view.zoom = Math.min(60, Math.max(0.5, view.zoom * by));
  const gained = 1 / before - 1 / scale();
  view.x += (x - canvas.width / 2) * gained;
  view.y -= (y - canvas.height / 2) * gained;
  draw();
}
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), ...place(event));
}, {passive: false});

const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
canvas.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = arrows[event.key];
  if (arrow) show(next(...arrow));
  else if (event.key === "Enter" || event.key === " ") toggle(under);
  else if (event.key === "+" || event.key === "=") zoom(1.4);
  else if (event.key === "-") zoom(1 / 1.4);
  else return;
  event.preventDefault();
});
function next(dx, dy) {
  const fromX = under < 0 ? view.x : facts.x[under], fromY = under < 0 ? view.y : facts.y[under];
  let best = under, least = Infinity;
  for (let i = 0; i < n; i++) {
    if (i === under || dimmed.has(way.of(i))) continue;
    const x = facts.x[i] - fromX, y = facts.y[i] - fromY, along = x * dx + y * dy;
    const across = Math.abs(x * dy) + Math.abs(y * dx);
    if (under >= 0 && (along <= 0 || across > along)) continue;
    if (x * x + y * y < least) { least = x * x + y * y; best = i; }
  }
  return best;
}

function legend() {
  at("legend-title").textContent = way.title;
  const counts = way.names.map(() => 0);
  for (let i = 0; i < n; i++) counts[way.of(i)]++;
  const used = [...counts.keys()].filter(k => counts[k]);
  at("legend").replaceChildren(...used.map(k => {
    const name = way.names[k];
    const item = document.createElement("li"), button = document.createElement("button");
    const dot = document.createElement("i"), text = document.createElement("span");
    dot.style.background = way.colour(k);
    text.textContent = `${name} (${counts[k].toLocaleString("en")})`;
    button.type = "button";
    button.setAttribute("aria-pressed", String(!dimmed.has(k)));
    button.append(dot, text);
    button.addEventListener("click", event => {
      // The first click shows one alone; further ones add or take away.
      if (dimmed.size === 0) used.forEach(other => other !== k && dimmed.add(other));
      else if (!dimmed.delete(k)) dimmed.add(k);
      if (dimmed.size === used.length) dimmed.clear();
      for (const [place, b] of [...at("legend").querySelectorAll("button")].entries())
        b.setAttribute("aria-pressed", String(!dimmed.has(used[place])));
      draw();
    });
    item.append(button);
    return item;
  }));
  draw();
}
at("by").addEventListener("change", event => { way = ways[event.target.value]; dimmed.clear(); legend(); });
for (const name of ["lasso", "pan"])
  at(name).addEventListener("click", () => {
    mode = name;
    for (const other of ["lasso", "pan"]) at(other).setAttribute("aria-pressed", String(other === name));
  });
at("in").addEventListener("click", () => zoom(1.4));
at("out").addEventListener("click", () => zoom(1 / 1.4));
at("whole").addEventListener("click", () => { Object.assign(view, {x: 0.5, y: 0.5, zoom: 1}); draw(); });
at("clear").addEventListener("click", () => { selected.clear(); tell(); });

const quoted = text => `"${text.replaceAll('"', '""')}"`;
at("save").addEventListener("click", () => {
  const rows = [...selected].sort((a, b) => a - b)
    .map(i => [facts.names[i], facts.classes[facts.label[i]], facts.predicted[i], facts.split[i]]);
  const lines = [["name", "label", "predicted", "split"], ...rows].map(row => row.map(quoted).join(",") + "\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, {type: "text/csv"}));
  link.download = "names.csv";
  document.body.append(link);  // some browsers follow only what is in the page
  link.click();
  link.remove();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", legend);
addEventListener("resize", size);
legend();
size();
