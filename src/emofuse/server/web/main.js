// The page: its head with the tabs, the notice while the server is away, and the three views.

import { analyseView } from "./analyse.js";
import { announce, element, option } from "./dom.js";
import { liveView } from "./live.js";
import { resultsView } from "./results.js";
import { connect, server } from "./server.js";
import { LANGUAGES, chooseLanguage, language, loadTexts, t } from "./texts.js";

const VIEWS = { analyse: analyseView, live: liveView, results: resultsView };
const DENIED = 401;

const place = (id) => document.getElementById(id);
const opened = {};
let current = null;

// What must not be interrupted by a reload: uploads and a live session.
const isBusy = () => Object.values(opened).some((view) => view.isBusy());

const head = () => {
  const links = Object.keys(VIEWS).map((name) => element("li", {}, element("a", { href: `#${name}`, id: `tab-${name}` }, t(`${name}.tab`))));
  const languages = element("select", { id: "language", "aria-label": t("page.language"), onchange: () => {
    if (!isBusy()) return chooseLanguage(languages.value);
    languages.value = language;
    return announce(t("page.busy"));
  } }, Object.entries(LANGUAGES).map(([code, name]) => option(code, name)));
  languages.value = language;
  place("head").append(
    element("a", { class: "skip", href: "#main", onclick: (event) => {
      event.preventDefault();
      place("main").focus();
    } }, t("page.skip")),
    element("span", { class: "brand" }, element("img", { src: "/static/icon.svg", alt: "", width: 24, height: 24 }), "emofuse"),
    element("nav", { "aria-label": t("page.views") }, element("ul", {}, links)), languages);
};

const show = (moved) => {
  const asked = location.hash.slice(1) || "analyse";
  const name = asked in VIEWS ? asked : current ?? "analyse";
  if (name === current) return;
  current = name;
  for (const other of Object.keys(VIEWS)) {
    place(other).hidden = other !== name;
    place(`tab-${other}`).toggleAttribute("aria-current", false);
  }
  place(`tab-${name}`).setAttribute("aria-current", "page");
  document.title = `${t(`${name}.tab`)} – emofuse`;
  opened[name].shown();
  if (moved) place(`${name}-title`).focus();
};

const foot = () => {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const version = element("p");
  server.addEventListener("online", () => {
    const { bundle } = server.status;
    version.textContent = t("page.version", { version: server.status.version, bundle: bundle.name, number: bundle.version });
  });
  place("foot").append(element("p", {}, t("page.estimates")),
    element("p", {}, local ? t("page.local") : t("page.remote", { host: location.hostname })), version);
};

const watchServer = () => {
  const notice = place("offline");
  server.addEventListener("offline", ({ detail }) => {
    notice.textContent = detail.status === DENIED ? t("page.denied") : t("page.offline");
    notice.hidden = false;
  });
  server.addEventListener("online", () => {
    if (!notice.hidden) announce(t("page.online"));
    notice.hidden = true;
  });
};

await loadTexts();
head();
foot();
watchServer();
for (const [name, view] of Object.entries(VIEWS)) opened[name] = view(place(name));
addEventListener("hashchange", () => show(true));
addEventListener("beforeunload", (event) => {
  if (isBusy()) event.preventDefault();
});
show(false);
connect();
