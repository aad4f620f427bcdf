// The server: requests, uploads, and its events. `server` dispatches "online", "offline", "job" and "results".

import { t } from "./texts.js";

const RETRY_MS = 2000;

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const server = new EventTarget();
server.online = null; // not known yet
server.refused = null; // while it is away: the status of its refusal, 0 without an answer
server.status = null;

const text = (status, body) => {
  try {
    return JSON.parse(body).error || t("error.status", { status });
  } catch {
    return t("error.status", { status });
  }
};

export const request = async (method, path, body) => {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(`/api${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
    .catch(() => { throw new ServerError(0, t("error.offline")); });
  if (!response.ok) throw new ServerError(response.status, text(response.status, await response.text()));
  return response;
};

export const json = async (method, path, body) => (await request(method, path, body)).json();

// Uploads a file as the body of a request; `onProgress` receives fractions.
export const upload = (path, file, { onProgress, signal }) => new Promise((resolve, reject) => {
  const call = new XMLHttpRequest();
  call.open("POST", `/api${path}`);
  call.setRequestHeader("Content-Type", "application/octet-stream");
  call.upload.addEventListener("progress", (event) => onProgress(event.total ? event.loaded / event.total : 0));
  call.addEventListener("load", () => (call.status < 300
    ? resolve(JSON.parse(call.responseText)) : reject(new ServerError(call.status, text(call.status, call.responseText)))));
  call.addEventListener("error", () => reject(new ServerError(0, t("error.upload"))));
  call.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
  signal.addEventListener("abort", () => call.abort());
  call.send(file);
});

const tell = (name, detail) => server.dispatchEvent(new CustomEvent(name, { detail }));

const setOnline = (online, status = null) => {
  if (server.online === online && server.refused === status) return;
  [server.online, server.refused] = [online, status];
  tell(online ? "online" : "offline", { status });
};

// Keeps listening to the events of the server, also after it was away.
export const connect = () => {
  const source = new EventSource("/api/events");
  const again = async () => {
    source.close();
    const { status = 0 } = await json("GET", "/status").catch((error) => error);
    setOnline(false, status);
    setTimeout(connect, RETRY_MS);
  };
  source.addEventListener("open", async () => {
    try {
      server.status = await json("GET", "/status");
      setOnline(true);
    } catch {
      again();
    }
  });
  source.addEventListener("error", again);
  source.addEventListener("job", (event) => tell("job", JSON.parse(event.data)));
  source.addEventListener("results", () => tell("results"));
};
