// The texts of the page, which are data in texts/, and numbers and times in the language of the page.

export const LANGUAGES = { en: "English", de: "Deutsch" };
const REMEMBERED = "emofuse-language";

export let language = "en";
let texts = {};

const remembered = () => {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null; // storage is switched off
  }
};

export const loadTexts = async () => {
  const wanted = [remembered(), ...navigator.languages.map((name) => name.slice(0, 2))];
  language = wanted.find((name) => name in LANGUAGES) ?? "en";
  document.documentElement.lang = language;
  texts = await (await fetch(`/static/texts/${language}.json`)).json();
};

export const chooseLanguage = (name) => {
  try {
    localStorage.setItem(REMEMBERED, name);
  } catch {
    return;
  }
  location.reload();
};

// A text, with {name} replaced by values.
export const t = (key, values = {}) =>
  (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));

// The text of a name that a bundle or an extension may have added: its own name if there is none.
export const named = (kind, name) => texts[`${kind}.${name}`] ?? name;

// A text that depends on a number: the keys end in `.one` and `.other`.
export const plural = (key, n) => t(`${key}.${new Intl.PluralRules(language).select(n) === "one" ? "one" : "other"}`, { n: number(n) });

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const percent = (value) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(value);

export const size = (bytes) => {
  const [unit, divisor] = bytes >= 1e9 ? ["gigabyte", 1e9] : bytes >= 1e6 ? ["megabyte", 1e6] : ["kilobyte", 1e3];
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: bytes < 1e10 && unit === "gigabyte" ? 1 : 0 }).format(bytes / divisor);
};

// 3725 s as 1:02:05.
export const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds)), hours = Math.floor(whole / 3600);
  const pair = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${pair(Math.floor(whole / 60) % 60)}:${pair(whole % 60)}` : `${Math.floor(whole / 60)}:${pair(whole % 60)}`;
};

// A length in words, coarse enough for an estimate.
export const about = (seconds) => {
  const [value, unit] = seconds >= 5400 ? [seconds / 3600, "hour"] : seconds >= 90 ? [seconds / 60, "minute"] : [seconds, "second"];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "hour" ? 1 : 0 })
    .format(unit === "second" ? Math.max(1, Math.round(value)) : value);
};

export const moment = (iso) => {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(date);
};
