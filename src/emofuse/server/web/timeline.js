// The last minute of every person, as stacked probabilities of the rows.

import { element } from "./dom.js";
import { emotionColour } from "./emotions.js";
import { number, t } from "./texts.js";

const SPAN_SECONDS = 60;
const GAP_SECONDS = 1e-3;
const HEIGHT = 110;
const REDRAW_MS = 500;
const VOICE = "voice"; // rows of nobody, scored from the voice

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const chartOf = (labels, range, place) => {
  const axis = { stroke: css("muted"), font: "11px system-ui, sans-serif", grid: { stroke: css("line"), width: 1 }, ticks: { show: false } };
  const stacked = labels.toReversed().map((label) => ({
    fill: emotionColour(label), stroke: "transparent", width: 0, points: { show: false }, paths: window.uPlot.paths.stepped({ align: 1 }),
  }));
  return new window.uPlot({
    width: Math.max(200, place.clientWidth), height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [7, 14, 4, 0],
    scales: { x: { time: false, range }, y: { range: [0, 1] } },
    axes: [{ ...axis, size: 24, values: (_, ticks) => ticks.map((tick) => t("live.seconds", { n: number(tick - range()[1]) })), splits: () => {
      const [, end] = range();
      return [60, 45, 30, 15, 0].map((ago) => end - ago);
    } }, { ...axis, size: 34, splits: () => [0, 0.5, 1], values: () => ["0", ".5", "1"] }],
    series: [{}, ...stacked],
  }, [[], ...stacked.map(() => [])], place);
};

export class Timelines {
  #persons = new Map(); // number or VOICE: {rows, chart, title}
  #now = 0;
  #drawn = 0;

  constructor(labels, nameOf) {
    [this.labels, this.nameOf] = [labels, nameOf];
    this.node = element("div");
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.node);
  }

  #person(key) {
    if (!this.#persons.has(key)) {
      const title = element("h3"), place = element("div", { class: "chart", "aria-hidden": "true" });
      this.node.append(element("div", { class: "row" }, title, place));
      this.#persons.set(key, { rows: [], title, chart: chartOf(this.labels, () => [this.#now - SPAN_SECONDS, this.#now], place), place });
    }
    return this.#persons.get(key);
  }

  add(rows) {
    for (const row of rows) {
      const scored = row[this.labels[0]] !== null && row[this.labels[0]] !== undefined;
      if (row.person === null && !scored) continue; // nobody
      const person = this.#person(row.person ?? VOICE);
      person.rows.push({ start: row.start, end: row.end, values: scored ? this.labels.map((label) => row[label]) : null });
      person.title.textContent = this.nameOf(row);
    }
  }

  // Moves the right edge to a time in seconds; drawn at most twice per second.
  advance(now) {
    this.#now = now;
    if (performance.now() - this.#drawn < REDRAW_MS) return;
    this.#drawn = performance.now();
    for (const person of this.#persons.values()) {
      person.rows = person.rows.filter((row) => row.end > now - SPAN_SECONDS - 1);
      person.chart.setData(this.#columns(person.rows));
    }
  }

  // uPlot's columns: a start per row, a gap where rows do not follow each other, and sums from the last label up.
  #columns(rows) {
    const x = [], sums = this.labels.map(() => []);
    const put = (time, values) => {
      x.push(time);
      let sum = 0;
      this.labels.forEach((_, n) => {
        sum += values ? values[n] : 0;
        sums[this.labels.length - 1 - n].push(values ? Math.min(1, sum) : null);
      });
    };
    rows.forEach((row, n) => {
      put(row.start, row.values);
      const next = rows[n + 1];
      if (next && next.start <= row.end + GAP_SECONDS) return;
      put(row.end, row.values);
      if (next) put(row.end + GAP_SECONDS / 2, null);
    });
    return [x, ...sums];
  }

  #resize() {
    for (const { chart, place } of this.#persons.values()) if (place.clientWidth) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  }

  close() {
    this.observer.disconnect();
    for (const { chart } of this.#persons.values()) chart.destroy();
  }
}
