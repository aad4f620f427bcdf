// Elements, announcements for screen readers, and dialogs.

import { t } from "./texts.js";

// An element; `on...` attributes are listeners, `style` an object of CSS properties; null, undefined and false leave out.
export const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [property, text] of Object.entries(value)) made.style.setProperty(property, text);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
};

export const button = (text, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, text);

export const option = (value, text) => element("option", { value }, text);

// A labelled field: the label above, the explanation below it.
export const field = (label, input, explanation = null) => {
  const described = explanation && element("small", { id: `${input.id}-about` }, explanation);
  if (described) input.setAttribute("aria-describedby", described.id);
  return element("div", { class: "field" }, element("label", { for: input.id }, label), input, described);
};

export const checkbox = (id, label, explanation, checked = false) => {
  const input = element("input", { type: "checkbox", id, checked });
  const described = explanation && element("small", { id: `${id}-about` }, explanation);
  if (described) input.setAttribute("aria-describedby", described.id);
  return [input, element("div", { class: "check" }, input, element("div", {}, element("label", { for: id }, label), described))];
};

// Text that came from the server, which is in English in every language of the page.
export const english = (text, tag = "span") => element(tag, { lang: "en" }, text);

export const announce = (text) => {
  document.getElementById("news").textContent = text;
};

// Opens a modal dialog; it is removed when it closes, and the focus returns to where it was, or to the view.
export const openDialog = (title, ...content) => {
  const heading = element("h2", { id: "dialog-title", tabindex: "-1" }, title);
  const dialog = element("dialog", { "aria-labelledby": "dialog-title" }, heading, ...content);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    (before?.isConnected ? before : document.querySelector("main > section:not([hidden]) h1")).focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  heading.focus();
  return dialog;
};

// Asks before something that cannot be undone; `act` may throw, which is shown in the dialog.
export const confirm = (title, text, { action, act }) => {
  const problem = element("p", { class: "notice problem", role: "alert", hidden: true });
  const yes = button(action, async () => {
    yes.disabled = true;
    try {
      await act();
      dialog.close();
    } catch (error) {
      problem.replaceChildren(english(error.message));
      problem.hidden = false;
      yes.disabled = false;
    }
  }, { class: "danger" });
  const dialog = openDialog(title, element("p", {}, text), problem,
    element("div", { class: "tools" }, yes, button(t("action.cancel"), () => dialog.close())));
};
