// Copy buttons, ticket lookup, the chart, and live updates: elements with data-live are fetched again and replaced.
// Without this script the dashboard works, except for the chart and live updates.
"use strict";

const UPDATE_MS = 3000;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.innerHTML;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.innerHTML = label; }, 1500);
});

document.getElementById("find")?.addEventListener("submit", (event) => {
  event.preventDefault();
  location.href = `${event.target.action}/${encodeURIComponent(event.target.elements.id.value)}`;
});

// The chart.
let chart = null;
const chartData = () => {
  const { times, rates } = JSON.parse(document.getElementById("chart-data").textContent);
  return [times, rates];
};
const utc = (seconds) => new Date(seconds * 1000).toISOString();
const tick = (seconds, isLong) => isLong || seconds % 86400 === 0 ? utc(seconds).slice(5, 10) : utc(seconds).slice(11, 16);
const drawChart = () => {
  const place = document.getElementById("chart");
  if (!place || !window.uPlot) return;
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  chart?.destroy();
  chart = new uPlot({
    width: place.clientWidth,
    height: 220,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, values: (plot, splits) => splits.map((each) => tick(each, plot.data[0].at(-1) - plot.data[0][0] > 3 * 86400)) },
      { ...axis, size: 64 },
    ],
    series: [
      { label: "From (UTC)", value: (_plot, seconds) => seconds === null ? "" : utc(seconds).slice(0, 16).replace("T", " ") },
      { label: "Changes a minute", stroke: colour("--chart"), fill: `${colour("--chart")}33`, width: 1.5, points: { show: false } },
    ],
  }, chartData(), place);
};
drawChart();
addEventListener("resize", () => chart?.setSize({ width: document.getElementById("chart").clientWidth, height: 220 }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawChart);

// Live updates. Nothing is replaced while text is selected or the page is hidden.
const isQuiet = () => document.hidden || !getSelection().isCollapsed || !document.getElementById("live").checked;
const update = async () => {
  if (isQuiet()) return;
  const answer = await fetch(location.href, { credentials: "same-origin" });
  if (answer.redirected) return location.reload(); // the session has ended
  if (!answer.ok || isQuiet()) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const found = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!found || found.innerHTML === old.innerHTML || old.contains(document.activeElement) && old !== document.activeElement) continue;
    if (old.tagName === "SCRIPT") {
      old.textContent = found.textContent;
      chart?.setData(chartData());
    } else {
      old.replaceChildren(...found.childNodes);
    }
  }
};
if (document.getElementById("live")) {
  const again = () => setTimeout(() => update().catch(() => undefined).finally(again), UPDATE_MS);
  again();
}
