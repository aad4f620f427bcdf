// The view Results: everything that was analysed, with persons, reports, exports and deletion.

import { announce, button, confirm, element, english, openDialog } from "./dom.js";
import { emotionBar, emotionName, strongest, swatch } from "./emotions.js";
import { editPersons, personName, portrait } from "./persons.js";
import { json, request, server } from "./server.js";
import { clock, moment, named, percent, plural, t } from "./texts.js";

const PAGE = 20;
const SEARCH_DELAY_MS = 250;

const path = (result) => `/results/${encodeURIComponent(result.id)}`;

// The file's name as the server gives it in Content-Disposition.
const fileName = (response, otherwise) => {
  const header = response.headers.get("Content-Disposition") ?? "";
  const coded = /filename\*=utf-8''([^;]+)/i.exec(header), plain = /filename="?([^";]+)"?/i.exec(header);
  return coded ? decodeURIComponent(coded[1]) : plain ? plain[1] : otherwise;
};

export const saveFile = (blob, name) => {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

const exportDialog = (result) => {
  const state = element("p", { role: "status" });
  const problem = element("p", { class: "notice problem", role: "alert", hidden: true });
  const stop = new AbortController();
  const buttons = result.formats.map((format) => element("li", {}, button(named("format", format), async () => {
    problem.hidden = true;
    buttons.forEach((item) => { item.querySelector("button").disabled = true; });
    state.textContent = t("export.working", { format: named("format", format) });
    try {
      const response = await request("GET", `${path(result)}/export/${encodeURIComponent(format)}`);
      const blob = await response.blob();
      if (stop.signal.aborted) return;
      const name = fileName(response, `${result.id}.${format}`);
      saveFile(blob, name);
      state.textContent = t("export.done", { name });
    } catch (error) {
      state.textContent = "";
      problem.replaceChildren(error.status ? english(error.message) : error.message);
      problem.hidden = false;
    } finally {
      buttons.forEach((item) => { item.querySelector("button").disabled = false; });
    }
  }), element("small", {}, named("format.about", format) === format ? "" : named("format.about", format))));
  const dialog = openDialog(t("export.title", { name: result.file }), element("p", {}, t("export.about")),
    element("ul", { class: "formats" }, buttons), state, problem,
    element("div", { class: "tools" }, button(t("action.close"), () => dialog.close())));
  dialog.addEventListener("close", () => stop.abort());
};

const personCard = (person, result) => {
  const [label, value] = person.mean_emotion ? strongest(person.mean_emotion) : [null, 0];
  const merged = result.persons.filter((other) => other.merged_into === person.number);
  return element("li", { class: "person" }, portrait(person), element("div", {},
    element("strong", {}, personName(person)),
    element("span", { class: "muted" }, [
      result.duration ? clock(person.seconds) : null, // a photograph has no time
      merged.length ? t("persons.with", { names: merged.map(personName).join(", ") }) : null,
    ].filter(Boolean).join(", ")),
    label === null ? element("span", { class: "muted" }, t("results.unscored")) : element("span", {}, swatch(label), `${emotionName(label)} ${percent(value)}`)),
  label === null ? null : emotionBar(person.mean_emotion));
};

const card = (summary, { remove }) => {
  const persons = element("ul", { class: "cards" }, element("li", { class: "muted" }, t("results.loading")));
  const warnings = element("ul", { class: "warnings" });
  const name = summary.file, of = (action) => ({ "aria-label": t(`action.${action}.of`, { name }) });
  let result = null;
  const edit = button(t("action.persons"), () => editPersons(result, (changed) => {
    fill(changed);
    announce(t("persons.saved", { name }));
  }), { ...of("persons"), disabled: true });
  const exporter = button(t("action.export"), () => exportDialog(result), { ...of("export"), disabled: true });
  const fill = (detail) => {
    result = detail;
    const shown = detail.persons.filter((person) => person.merged_into === null);
    persons.replaceChildren(...(shown.length ? shown.map((person) => personCard(person, detail)) : [element("li", { class: "muted" }, t(failed ? "results.failed" : "results.nobody"))]));
    warnings.replaceChildren(...detail.warnings.map((warning) => element("li", {}, english(warning))));
    edit.disabled = !detail.persons.length;
    exporter.disabled = !detail.formats.length;
  };
  const failed = summary.status !== "done";
  const facts = failed ? [moment(summary.created)] : [summary.duration ? clock(summary.duration) : null, moment(summary.created), t(summary.kept_media ? "results.media" : summary.media ? "results.elsewhere" : "results.no-media")];
  const node = element("li", { class: "result" },
    element("div", { class: "line" }, element("h2", { tabindex: "-1" }, name), element("span", { class: "muted" }, facts.filter(Boolean).join(" · "))),
    persons, warnings,
    element("div", { class: "tools" }, failed ? null : element("a", { class: "button first", href: `/api${path(summary)}/report`, target: "_blank", rel: "noopener", ...of("report") }, t("action.report")),
      failed ? null : edit, failed ? null : exporter, button(t("action.delete"), () => confirm(t("delete.title", { name }), t(summary.kept_media ? "delete.about.media" : "delete.about"), {
        action: t("action.delete"), act: () => remove(summary),
      }), { ...of("delete"), class: "quiet" })));
  const load = async () => {
    try {
      fill(await json("GET", path(summary)));
    } catch (error) {
      persons.replaceChildren(element("li", { class: "notice problem" }, error.status ? english(error.message) : error.message));
    }
  };
  return { node, load };
};

class ResultsView {
  #offset = 0;
  #total = 0;
  #stale = true;
  #asked = 0;

  constructor(place) {
    this.place = place;
    this.search = element("input", { type: "search", id: "search" });
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(0), SEARCH_DELAY_MS);
    });
    this.count = element("p", { class: "muted", role: "status" });
    this.problem = element("p", { class: "notice problem", role: "alert", hidden: true });
    this.list = element("ul", { class: "results" });
    this.empty = element("div", { class: "empty", hidden: true });
    this.earlier = button(t("paging.earlier"), () => this.#turn(-PAGE));
    this.later = button(t("paging.later"), () => this.#turn(PAGE));
    this.range = element("span", { class: "muted" });
    this.paging = element("nav", { class: "tools", "aria-label": t("paging.label"), hidden: true }, this.earlier, this.range, this.later);
    place.append(element("h1", { id: "results-title", tabindex: "-1" }, t("results.title")), element("p", {}, t("results.about")),
      element("div", { class: "tools" }, element("label", { for: "search" }, t("results.search")), this.search, this.count),
      this.problem, this.empty, this.list, this.paging);
    this.cards = new Map();
    // Persons are loaded when their result is scrolled into view.
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        this.observer.unobserve(target);
        this.loads.get(target)();
      }
    }, { rootMargin: "300px" });
    for (const event of ["results", "online"]) server.addEventListener(event, () => this.refresh());
  }

  refresh() {
    this.#stale = true;
    if (!this.place.hidden && !document.querySelector("dialog[open]")) this.load(this.#offset);
  }

  shown() {
    if (this.#stale && server.online) this.load(this.#offset);
  }

  #turn(by) {
    this.load(this.#offset + by);
    document.getElementById("results-title").focus();
  }

  async load(offset) {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ search: this.search.value.trim(), offset, limit: PAGE });
    this.problem.hidden = true;
    if (!this.list.children.length) this.count.textContent = t("results.loading");
    try {
      const { total, results } = await json("GET", `/results?${query}`);
      if (asked !== this.#asked) return;
      if (!results.length && offset > 0) {
        this.load(Math.max(0, offset - PAGE));
        return;
      }
      this.#stale = false;
      [this.#offset, this.#total] = [offset, total];
      this.#draw(results);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.count.textContent = "";
      this.problem.replaceChildren(error.status ? english(error.message) : error.message);
      this.problem.hidden = false;
    }
  }

  #draw(results) {
    const searching = this.search.value.trim() !== "";
    this.observer.disconnect();
    // A card whose result is as it was stays, with the focus; only its persons are loaded again.
    this.cards = new Map(results.map((result) => {
      const key = JSON.stringify(result);
      return [key, this.cards.get(key) ?? card(result, { remove: (one) => this.#remove(one) })];
    }));
    const cards = [...this.cards.values()], focused = document.activeElement;
    this.loads = new Map(cards.map(({ node, load }) => [node, load]));
    this.list.replaceChildren(...cards.map(({ node }) => node));
    if (this.list.contains(focused)) focused.focus();
    cards.forEach(({ node }) => this.observer.observe(node));
    this.count.textContent = results.length || searching ? plural("results.count", this.#total) : "";
    this.empty.hidden = results.length > 0;
    this.empty.replaceChildren(...(searching ? [element("p", {}, t("results.not-found"))]
      : [element("p", {}, t("results.empty")), element("a", { class: "button first", href: "#analyse" }, t("results.start"))]));
    this.paging.hidden = this.#total <= PAGE;
    this.earlier.disabled = this.#offset === 0;
    this.later.disabled = this.#offset + PAGE >= this.#total;
    this.range.textContent = t("paging.range", { from: this.#offset + 1, to: this.#offset + results.length, total: this.#total });
  }

  async #remove(result) {
    await request("DELETE", path(result));
    announce(t("delete.done", { name: result.file }));
    await this.load(this.#offset);
  }
}

export const resultsView = (place) => {
  const view = new ResultsView(place);
  return { shown: () => view.shown(), isBusy: () => false };
};
