// Explanations as they go: a stream of events for the first few, since a browser
// opens few connections; the others, and all where there is a key, which no stream can send, are asked after.

import { Problem, hasKey, pathOf, read } from "./api.js";

const STREAMS = 2;
const PAUSE = 1000;
const FINAL = ["succeeded", "failed", "cancelled"];
const followed = new Map(); // id -> {told, stream}
let timer = 0;

// `told` hears {status, position, progress, error}, last one that is final.
export function follow(id, told) {
  followed.set(id, { told, stream: null });
  arrange();
}

export function unfollow(id) {
  followed.get(id)?.stream?.close();
  followed.delete(id);
  arrange();
}

function arrange() {
  let open = [...followed.values()].filter((one) => one.stream).length;
  for (const [id, one] of followed) {
    if (!one.stream && open < STREAMS && !hasKey()) {
      one.stream = streamOf(id);
      open += 1;
    }
  }
  const others = [...followed.values()].some((one) => !one.stream);
  if (others && !timer) timer = setTimeout(poll, PAUSE);
}

function say(id, news) {
  const one = followed.get(id);
  if (!one) return;
  if (FINAL.includes(news.status)) unfollow(id);
  one.told(news);
}

function streamOf(id) {
  const stream = new EventSource(`${pathOf(id)}/events`);
  const hear = (name, news) => stream.addEventListener(name, (event) => say(id, news(JSON.parse(event.data))));
  hear("queued", ({ position }) => ({ status: "queued", position, progress: null }));
  hear("started", () => ({ status: "running" }));
  hear("progress", (progress) => ({ status: "running", progress }));
  for (const name of FINAL) hear(name, (status) => ({ ...status, status: name }));
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) ask(id);
  });
  return stream;
}

async function ask(id) {
  try {
    say(id, await read(id));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code !== "unreachable") say(id, { status: "failed", error: error.document });
  }
}

async function poll() {
  await Promise.all([...followed].filter(([, one]) => !one.stream).map(([id]) => ask(id)));
  timer = 0;
  arrange();
}
