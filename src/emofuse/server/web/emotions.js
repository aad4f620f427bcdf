// Emotions: their names in the language of the page, their colours, and bars of their probabilities.

import { element } from "./dom.js";
import { server } from "./server.js";
import { named, percent } from "./texts.js";

const UNKNOWN_COLOUR = "#8c8c8c";

export const emotionName = (label) => named("emotion", label);

export const emotionColour = (label) => server.status?.bundle.colours?.[label] ?? UNKNOWN_COLOUR;

export const strongest = (probabilities) => Object.entries(probabilities).reduce((best, entry) => (entry[1] > best[1] ? entry : best));

export const swatch = (label) => element("span", { class: "swatch", style: { background: emotionColour(label) } });

// One bar, divided by emotion, with its content as text for screen readers.
export const emotionBar = (probabilities) => {
  const parts = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  const text = parts.map(([label, value]) => `${emotionName(label)} ${percent(value)}`).join(", ");
  return element("div", { class: "bar", role: "img", "aria-label": text, title: text }, parts.map(([label, value]) =>
    element("span", { style: { width: `${100 * value}%`, background: emotionColour(label) } })));
};
