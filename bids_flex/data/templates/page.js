"use strict";
// tables: click a heading to sort, type to filter, download what is shown
for (const part of document.querySelectorAll(".sortable")) {
  const table = part.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, place) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (one, other) => {
      const [a, b] = [value(one, place), value(other, place)];
      if (a === "" || b === "") return (a === "") - (b === "");       // what is missing comes last, whichever way
      const [x, y] = [Number(a), Number(b)];
      return (up ? 1 : -1) * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
    };
    body.append(...[...body.rows].sort(order));
  }));
  part.querySelector("input")?.addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    part.querySelector(".count").textContent = `${shown} of ${body.rows.length} row${body.rows.length === 1 ? "" : "s"}`;
  });
  part.querySelector(".download")?.addEventListener("click", (event) => {
    const rows = [[...heads].map((head) => head.textContent.trim())];
    for (const row of body.rows) if (!row.hidden) rows.push([...row.cells].map((_, place) => value(row, place) || "n/a"));
    const text = rows.map((row) => row.map((cell) => cell.replace(/[\t\n]/g, " ")).join("\t")).join("\n") + "\n";
    save(event.target.dataset.name, text);
  });
}
function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
// texts to paste
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.of).textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(document.getElementById(button.dataset.of)); button.textContent = "Marked: press Ctrl+C"; }
  });
}
// details are closed on paper otherwise
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
// the brain in three dimensions
const data = JSON.parse(document.getElementById("brain-data")?.textContent || "null");
if (data && window.Plotly) {
  const unpack = (text, Kind) => new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const coordinates = unpack(data.mesh.coordinates, Int16Array), faces = unpack(data.mesh.faces, Uint16Array);
  const every = (array, place, by = 1) => Array.from({ length: array.length / 3 }, (_, i) => array[3 * i + place] / by);
  const surface = {
    type: "mesh3d", x: every(coordinates, 0, 10), y: every(coordinates, 1, 10), z: every(coordinates, 2, 10),
    i: every(faces, 0), j: every(faces, 1), k: every(faces, 2), color: "#9aa3ad", opacity: 0.15, hoverinfo: "skip",
  };
  const choice = document.getElementById("brain-map"), runs = document.getElementById("brain-run");
  const find = () => data.maps.find((map) => map.run === runs.value && map.name === choice.value) ?? data.maps[0];
  const points = (map) => {
    const here = data.x.map((_, i) => i).filter((i) => map.values[i] !== null), take = (list) => here.map((i) => list[i]);
    return {
      type: "scatter3d", mode: "markers", x: take(data.x), y: take(data.y), z: take(data.z), hoverinfo: "text",
      text: here.map((i) => `${data.names[i]} ${data.networks[i]}: ${map.values[i]}`.replace(/</g, "&lt;")),
      marker: { size: 7, color: take(map.values), colorscale: "Viridis", showscale: true, line: { color: "#000000", width: 1 } },
    };
  };
  const axis = { visible: false, showspikes: false };
  const layout = { margin: { l: 0, r: 0, t: 0, b: 0 }, scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data" } };
  const place = document.getElementById("brain");
  const draw = () => Plotly.react(place, [surface, points(find())], layout, { displayModeBar: false, responsive: true })
    .then(() => { place.dataset.drawn = `${find().run} ${find().name}`; });
  runs.addEventListener("change", draw);
  choice.addEventListener("change", draw);
  // drawn when it comes into sight: a page of many runs opens at once
  new IntersectionObserver((seen, watcher) => { if (seen[0].isIntersecting) { watcher.disconnect(); draw(); } }).observe(place);
}
