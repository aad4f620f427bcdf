// The view Analyse: files in, a queue with progress, and links to the reports.

import { announce, button, checkbox, element, english, field, option } from "./dom.js";
import { json, request, server } from "./server.js";
import { about, percent, t } from "./texts.js";
import { FAILED, SENDING, Uploads } from "./uploads.js";

const RATES = [1, 2, 5, 10, 25];
const DEFAULT_RATE = 5;
const PERSONS = ["auto", "largest", "1", "2", "3", "4"];
const FINISHED = ["done", "failed", "cancelled"];

const optionsForm = () => {
  const rate = element("select", { id: "rate" }, RATES.map((n) => option(n, t("options.rate.value", { n }))));
  rate.value = DEFAULT_RATE;
  const persons = element("select", { id: "persons" }, PERSONS.map((name) => option(name, t(`options.persons.${name}`))));
  const [keep, keepField] = checkbox("keep", t("options.keep"), t("options.keep.about"), true);
  return {
    node: element("fieldset", { class: "options" }, element("legend", {}, t("options.title")),
      field(t("options.rate"), rate, t("options.rate.about")), field(t("options.persons"), persons, t("options.persons.about")), keepField),
    read: () => ({ rate: Number(rate.value), persons: persons.value }),
    keep: () => keep.checked,
  };
};

// One entry of the queue, drawn anew only where something changed, so that the focus stays.
const entry = (act) => {
  const name = element("span", { class: "name" }), state = element("span", { class: "state" });
  const progress = element("progress", { max: 1 }), detail = element("p", { class: "detail" }), tools = element("div", { class: "tools" });
  const node = element("li", { class: "job" }, element("div", { class: "line" }, name, state), progress, detail, tools);
  let before = null;
  const update = ({ title, kind, label, fraction, details, actions }) => {
    name.textContent = title;
    progress.setAttribute("aria-label", title);
    node.dataset.kind = kind;
    state.textContent = label;
    progress.hidden = fraction === null;
    if (fraction === undefined) progress.removeAttribute("value");
    else if (fraction !== null) progress.value = fraction;
    detail.replaceChildren(...details);
    detail.hidden = !details.length;
    const now = actions.map(([action, link]) => `${action} ${link}`).join();
    if (now === before) return;
    before = now;
    const focused = tools.contains(document.activeElement);
    tools.replaceChildren(...actions.map(([action, link]) => (link
      ? element("a", { class: "button", href: link, target: "_blank", rel: "noopener", "aria-label": t(`action.${action}.of`, { name: title }) }, t(`action.${action}`))
      : button(t(`action.${action}`), () => act(action), { "aria-label": t(`action.${action}.of`, { name: title }) }))));
    if (focused) (tools.querySelector("a, button") ?? document.getElementById("queue-title")).focus();
  };
  return { node, update };
};

const ofUpload = (item) => ({
  title: item.name,
  kind: item.state === FAILED ? "failed" : "sending",
  label: item.state === FAILED ? t("job.failed") : item.state === SENDING ? t("job.sending", { progress: percent(item.progress) })
    : item.full ? t("job.full") : t("job.waiting"),
  fraction: item.state === SENDING ? item.progress : null,
  details: item.error ? [item.error] : [],
  actions: item.state === FAILED ? [...(item.again ? [["retry"]] : []), ["remove"]] : [["cancel"]],
});

const ofJob = (job) => {
  const details = [];
  if (job.status === "running" && job.seconds_left !== null) details.push(t("job.left", { time: about(job.seconds_left) }));
  if (job.error) details.push(english(job.error));
  if (job.status === "done" && !job.result) details.push(t("job.deleted"));
  for (const warning of job.warnings) details.push(english(warning, "small"));
  return {
    title: job.name,
    kind: job.status,
    label: job.status === "running" && job.progress ? t("job.running.at", { progress: percent(job.progress) }) : t(`job.${job.status}`),
    fraction: job.status === "running" ? job.progress || undefined : null,
    details,
    actions: job.result ? [["report", `/api/results/${encodeURIComponent(job.result)}/report`], ["remove"]]
      : FINISHED.includes(job.status) ? [...(job.retryable ? [["retry"]] : []), ["remove"]] : [["cancel"]],
  };
};

// Running ones first, then those that wait in their order, then finished ones, the newest first.
const compare = (a, b) => {
  const rank = ({ status }) => (status === "running" ? 0 : status === "queued" ? 1 : 2);
  const order = a.created < b.created ? -1 : a.created > b.created ? 1 : 0;
  return rank(a) - rank(b) || (rank(a) === 2 ? -order : order);
};

class Queue {
  #jobs = new Map();
  #uploads = new Map();
  #rows = new Map();
  #announced = new Map();
  #loaded = false;

  constructor() {
    this.uploads = new Uploads((item) => this.#onUpload(item));
    this.list = element("ul", { class: "jobs" });
    this.empty = element("p", { class: "muted" }, t("queue.loading"));
    this.problem = element("p", { class: "notice problem", role: "alert", hidden: true });
    this.clear = button(t("queue.clear"), () => this.#clearFinished(), { hidden: true });
    this.node = element("div", {}, element("div", { class: "heading" },
      element("h2", { id: "queue-title", tabindex: "-1" }, t("queue.title")), this.clear), this.problem, this.empty, this.list);
    server.addEventListener("job", ({ detail }) => this.take([detail]));
    server.addEventListener("online", () => this.load());
  }

  async load() {
    try {
      const jobs = await json("GET", "/jobs");
      this.#jobs.clear();
      this.#loaded = true;
      this.take(jobs, { quiet: true });
    } catch (error) {
      this.fail(error);
    }
  }

  take(jobs, { quiet = false } = {}) {
    for (const job of jobs) {
      this.#jobs.set(job.id, job);
      if (!quiet && this.#announced.get(job.id) !== job.status) announce(`${job.name}: ${t(`job.${job.status}`)}`);
      this.#announced.set(job.id, job.status);
    }
    this.#draw();
  }

  fail(error) {
    this.problem.replaceChildren(error.status ? english(error.message) : error.message);
    this.problem.hidden = false;
  }

  #onUpload(item) {
    if (item.job) {
      this.#uploads.delete(item.id);
      this.take([item.job]);
      return;
    }
    this.#uploads.set(item.id, item);
    if (item.state === FAILED) announce(`${item.name}: ${item.error}`);
    this.#draw();
  }

  #row(id, act) {
    if (!this.#rows.has(id)) this.#rows.set(id, entry(act));
    return this.#rows.get(id);
  }

  #draw() {
    const nodes = [], seen = new Set();
    const add = (id, content, act) => {
      const row = this.#row(id, act);
      row.update(content);
      nodes.push(row.node);
      seen.add(id);
    };
    for (const item of this.#uploads.values()) add(item.id, ofUpload(item), (action) => this.#actOnUpload(action, item));
    const jobs = [...this.#jobs.values()].sort(compare);
    for (const job of jobs) add(job.id, ofJob(job), (action) => this.#actOnJob(action, job.id));
    for (const id of this.#rows.keys()) if (!seen.has(id)) this.#rows.delete(id);
    if (nodes.length !== this.list.children.length || nodes.some((node, n) => this.list.children[n] !== node)) {
      const focused = document.activeElement;
      this.list.replaceChildren(...nodes);
      if (this.list.contains(focused)) focused.focus();
    }
    this.empty.textContent = t(this.#loaded ? "queue.empty" : "queue.loading");
    this.empty.hidden = nodes.length > 0;
    this.clear.hidden = !jobs.some(({ status }) => FINISHED.includes(status));
  }

  #actOnUpload(action, item) {
    if (action === "retry") return this.uploads.retry(item);
    this.uploads.remove(item);
    this.#uploads.delete(item.id);
    return this.#draw();
  }

  async #actOnJob(action, id) {
    this.problem.hidden = true;
    try {
      if (action === "remove") await this.#remove(id);
      else this.take([await json("POST", `/jobs/${encodeURIComponent(id)}/${action}`)]);
    } catch (error) {
      this.fail(error);
    }
  }

  async #remove(id) {
    await request("DELETE", `/jobs/${encodeURIComponent(id)}`);
    this.#jobs.delete(id);
    this.#draw();
  }

  async #clearFinished() {
    this.problem.hidden = true;
    try {
      for (const job of [...this.#jobs.values()].filter(({ status }) => FINISHED.includes(status))) await this.#remove(job.id);
      document.getElementById("queue-title").focus();
    } catch (error) {
      this.fail(error);
    }
  }
}

const dropArea = (take, refuse) => {
  const chooser = element("input", { type: "file", id: "files", multiple: true, accept: "video/*,audio/*,image/*", class: "unseen" });
  chooser.addEventListener("change", () => {
    take([...chooser.files]);
    chooser.value = "";
  });
  const area = element("div", { class: "drop" }, element("p", {}, t("drop.here")), chooser,
    element("label", { for: "files", class: "button first" }, t("drop.choose")), element("p", { class: "muted" }, t("drop.kinds")));
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) refuse(t("drop.folder"));
    take(items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile()));
  });
  // A file that misses the area must not replace the page.
  for (const event of ["dragover", "drop"]) addEventListener(event, (dropped) => dropped.preventDefault());
  return area;
};

const pathForm = (add) => {
  const input = element("input", { type: "text", id: "path", required: true, autocomplete: "off", spellcheck: "false", placeholder: t("path.example") });
  const problem = element("p", { class: "notice problem", role: "alert", hidden: true });
  const form = element("form", { class: "path", hidden: true }, field(t("path.label"), input, t("path.about")),
    element("button", {}, t("path.add")), problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      await add(input.value.trim());
      input.value = "";
    } catch (error) {
      problem.replaceChildren(english(error.message));
      problem.hidden = false;
    }
  });
  server.addEventListener("online", () => { form.hidden = !server.status.local_paths; });
  return form;
};

export const analyseView = (place) => {
  const options = optionsForm(), queue = new Queue();
  const drop = dropArea(
    (files) => files.forEach((file) => queue.uploads.add(file, { ...options.read(), keep: options.keep() })),
    (text) => queue.fail(new Error(text)));
  const path = pathForm(async (name) => queue.take(await json("POST", "/jobs/local", { path: name, ...options.read() })));
  place.append(element("h1", { id: "analyse-title", tabindex: "-1" }, t("analyse.title")), element("p", {}, t("analyse.about")),
    element("div", { class: "columns" }, element("div", {}, drop, path), options.node), queue.node);
  return { shown: () => undefined, isBusy: () => queue.uploads.isBusy };
};
