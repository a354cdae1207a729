"use strict";
// the specification curve: chosen universes in colour, the others in grey; what is pointed at is told in words
{
  const data = JSON.parse(document.getElementById("curve-data").textContent);
  const place = document.getElementById("curve"), names = document.getElementById("curve-name");
  const told = document.getElementById("curve-point"), shown = document.getElementById("curve-shown");
  const svgName = "http://www.w3.org/2000/svg";
  const option = (text, value) => { const one = document.createElement("option"); one.textContent = text; one.value = value; return one; };
  data.curves.forEach((curve, i) => names.append(option(curve.name, String(i))));
  const levelsOf = (choice) => [...new Set(data.curves.flatMap((curve) => curve.points.map((point) => point.levels[choice])))].filter(Boolean).sort();
  const filters = data.choices.map((choice, i) => {
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(`${choice.replace(/_/g, " ")} `, select);
    select.append(option("any", ""), ...levelsOf(i).map((level) => option(level, level)));
    select.dataset.choice = choice;
    select.addEventListener("change", () => draw());
    document.getElementById("curve-tools").append(label);
    return select;
  });
  const add = (parent, kind, attributes) => {
    const one = document.createElementNS(svgName, kind);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    return parent.appendChild(one);
  };
  const text = (parent, words, attributes) => { add(parent, "text", attributes).textContent = words; };
  let points = [], current = -1, marks = [];
  const wanted = (point) => filters.every((select, i) => !select.value || point.levels[i] === select.value);
  const median = (values) => { const v = [...values].sort((a, b) => a - b), m = v.length >> 1; return v.length % 2 ? v[m] : (v[m - 1] + v[m]) / 2; };
  function tell(i) {
    if (i < 0 || i >= points.length) return;
    marks[current]?.setAttribute("r", 4);
    current = i;
    marks[i].setAttribute("r", 7);
    const one = points[i], levels = data.choices.map((name, k) => one.levels[k] && `${name.replace(/_/g, " ")} ${one.levels[k]}`).filter(Boolean).join(", ");
    const lack = one.lacking ? `, ${one.lacking} lacking` : "";
    told.textContent = `${one.universe} (${i + 1} of ${points.length}): ${levels}. g = ${one.effect} (${one.effect_low} to ${one.effect_high}), p = ${one.p}, n = ${one.n}${lack}.`;
  }
  function draw() {
    const curve = data.curves[Number(names.value)];
    points = curve.points.filter((point) => point.effect !== null);
    const rows = data.choices.flatMap((choice, i) => levelsOf(i).map((level) => [i, level]));
    const left = 170, step = Math.max(8, Math.min(22, 800 / points.length)), high = 260, row = 14;
    const width = left + step * points.length + 20, height = high + 20 + row * rows.length;
    const ends = points.flatMap((p) => [p.effect_low, p.effect_high, p.null_low, p.null_high]).filter((v) => v !== null);
    const low = Math.min(0, ...ends), top = Math.max(0, ...ends), span = top - low || 1;
    const x = (i) => left + step * (i + 0.5), y = (value) => 10 + (high - 20) * (top - value) / span;
    const svg = document.createElementNS(svgName, "svg");
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) svg.setAttribute(name, value);
    const band = points.map((p, i) => `${x(i)},${y(p.null_high)}`).concat(points.map((p, i) => `${x(i)},${y(p.null_low)}`).reverse());
    add(svg, "polygon", { points: band.join(" "), fill: "#d9d9d9" });
    add(svg, "line", { x1: left, x2: width, y1: y(0), y2: y(0), stroke: "#57606a" });
    for (const value of [low, 0, top]) text(svg, value.toFixed(2), { x: left - 6, y: y(value) + 4, "text-anchor": "end", "font-size": 11 });
    text(svg, "g", { x: left - 50, y: 20, "font-size": 12 });
    rows.forEach(([i, level], k) => text(svg, `${data.choices[i].replace(/_/g, " ")}: ${level}`, { x: left - 6, y: high + 24 + row * k, "text-anchor": "end", "font-size": 11 }));
    marks = points.map((point, i) => {
      const chosen = wanted(point), colour = chosen ? (point.p < 0.05 ? "#882255" : "#1b1f24") : "#c4cad0";
      add(svg, "line", { x1: x(i), x2: x(i), y1: y(point.effect_low), y2: y(point.effect_high), stroke: colour });
      const mark = add(svg, "circle", { cx: x(i), cy: y(point.effect), r: 4, fill: point.lacking ? "#ffffff" : colour, stroke: colour });
      rows.forEach(([choice, level], k) => { if (point.levels[choice] === level) add(svg, "rect", { x: x(i) - 3, y: high + 16 + row * k, width: 6, height: 8, fill: colour }); });
      const target = add(svg, "rect", { x: x(i) - step / 2, y: 0, width: step, height, fill: "transparent" });
      target.addEventListener("pointerenter", () => tell(i));
      return mark;
    });
    place.replaceChildren(svg);
    current = -1;
    told.textContent = "";
    const chosen = points.filter(wanted), low05 = chosen.filter((p) => p.p < 0.05), gone = curve.points.length - points.length;
    const above = low05.filter((p) => p.effect > 0).length;
    shown.textContent = `${chosen.length} of ${points.length} universes chosen` + (chosen.length ? `: median g = ${median(chosen.map((p) => p.effect)).toFixed(3)}, ${above} significant above 0, ${low05.length - above} below` : "")
      + (gone ? `; ${gone} have no result` : "") + ".";
    place.dataset.drawn = curve.name;
  }
  place.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (move) { event.preventDefault(); tell(Math.min(points.length - 1, Math.max(0, current + move))); }
  });
  names.addEventListener("change", draw);
  if (data.curves.length) draw();
}
