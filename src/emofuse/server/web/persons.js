// The dialog that names the persons of a result, and joins those who are one.

import { button, element, english, openDialog, option } from "./dom.js";
import { json } from "./server.js";
import { about, t } from "./texts.js";

const LONGEST_NAME = 80;

export const personName = ({ number, name }) => name || t("person.number", { number });

export const portrait = (person) => (person.thumbnail
  ? element("img", { class: "portrait", src: person.thumbnail, alt: t("person.face", { name: personName(person) }), width: 64, height: 64, loading: "lazy" })
  : element("span", { class: "portrait", "aria-hidden": "true" }, String(person.number)));

// A row of the dialog: face, name, and whom the person is the same as.
const personRow = (person, others, duration) => {
  const id = `person-${person.number}`;
  const name = element("input", { type: "text", id: `${id}-name`, maxlength: LONGEST_NAME, autocomplete: "off", value: person.name ?? "", placeholder: t("person.number", { number: person.number }) });
  const same = element("select", { id: `${id}-same` }, option("", t("persons.separate")),
    others.map((other) => option(String(other.number), personName(other))));
  same.value = person.merged_into === null ? "" : String(person.merged_into);
  const follow = () => { name.disabled = same.value !== ""; };
  same.addEventListener("change", follow);
  follow();
  const node = element("li", {}, portrait(person), element("div", { class: "facts" },
    element("strong", {}, t("person.number", { number: person.number })), duration > 0 && element("span", { class: "muted" }, t("persons.seen", { time: about(person.seconds) }))),
  element("div", { class: "field" }, element("label", { for: name.id }, t("persons.name")), name),
  others.length > 0 && element("div", { class: "field" }, element("label", { for: same.id }, t("persons.same")), same));
  return { person, node, name: () => name.value.trim() || null, same: () => (same.value ? Number(same.value) : null) };
};

// Who each person finally is, or null where persons refer to each other in a circle.
export const resolveMerges = (chosen) => {
  const merges = {};
  for (const start of Object.keys(chosen)) {
    let end = chosen[start];
    for (let steps = 0; end !== null && chosen[end] !== null && chosen[end] !== undefined; steps++) {
      if (steps > Object.keys(chosen).length) return null;
      end = chosen[end];
    }
    if (end === Number(start)) return null;
    merges[start] = end;
  }
  return merges;
};

const chosenMerges = (rows) => {
  const merges = resolveMerges(Object.fromEntries(rows.map((row) => [row.person.number, row.same()])));
  if (merges === null) throw new Error(t("persons.circle"));
  return merges;
};

// Lines about persons who would newly become one and are visible at the same time.
const overlapLines = async (result, merges) => {
  const before = Object.fromEntries(result.persons.map(({ number, merged_into: into }) => [number, into]));
  const end = (map, number) => map[number] ?? number;
  const joins = ([a, b]) => end(merges, a) === end(merges, b) && end(before, a) !== end(before, b);
  if (Object.entries(merges).every(([number, into]) => into === before[number])) return [];
  const names = Object.fromEntries(result.persons.map((person) => [person.number, personName(person)]));
  const overlaps = await json("GET", `/results/${encodeURIComponent(result.id)}/persons/overlaps`);
  return overlaps.filter(({ persons }) => joins(persons))
    .map(({ persons: [a, b], seconds }) => t("persons.overlap", { first: names[a], second: names[b], time: about(seconds) }));
};

const changes = (rows) => {
  const merges = chosenMerges(rows);
  const names = Object.fromEntries(rows.filter((row) => row.name() !== row.person.name).map((row) => [row.person.number, row.name()]));
  const merge = Object.fromEntries(rows.filter(({ person }) => merges[person.number] !== person.merged_into)
    .map(({ person }) => [person.number, merges[person.number]]));
  return { names, merge };
};

// Opens the dialog; `saved` receives the result as it then is.
export const editPersons = (result, saved) => {
  const rows = result.persons.map((person) => personRow(person, result.persons.filter((other) => other !== person), result.duration));
  const problem = element("p", { class: "notice problem", role: "alert", hidden: true });
  const warning = element("div", { class: "notice", role: "status", hidden: true });
  const save = element("button", { class: "first" }, t("action.save"));
  const form = element("form", {}, element("p", {}, t("persons.about")), element("ul", { class: "persons" }, rows.map(({ node }) => node)), warning, problem,
    element("div", { class: "tools" }, save, button(t("action.cancel"), () => dialog.close())));
  // What was confirmed holds until other persons are chosen.
  const ask = (lines) => {
    warning.replaceChildren(...[...lines, ...(lines.length ? [t("persons.overlap.ask")] : [])].map((line) => element("p", {}, line)));
    warning.hidden = !lines.length;
    save.textContent = t(lines.length ? "persons.overlap.join" : "action.save");
  };
  form.addEventListener("change", ({ target }) => target.matches("select") && ask([]));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    problem.hidden = true;
    try {
      const lines = warning.hidden ? await overlapLines(result, chosenMerges(rows)) : [];
      if (lines.length) return ask(lines);
      saved(await json("PATCH", `/results/${encodeURIComponent(result.id)}/persons`, changes(rows)));
      return dialog.close();
    } catch (error) {
      problem.replaceChildren(error.status ? english(error.message) : error.message);
      problem.hidden = false;
      return undefined;
    } finally {
      save.disabled = false;
    }
  });
  const dialog = openDialog(t("persons.title", { name: result.file }), form);
};
