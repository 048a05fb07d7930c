// The HTTP API: every failure is a Problem, whose document is that of RFC 9457.

const API = "/api/v1";

export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title);
    this.document = document;
    this.code = document.code;
    this.errors = document.errors ?? [];
  }
}

const KEPT = "whence-key"; // as long as this tab is open

export const hasKey = () => sessionStorage.getItem(KEPT) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEPT, key);

export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEPT);
  const headers = key ? { ...options.headers, authorization: `Bearer ${key}` } : options.headers;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "unreachable", detail: "The server cannot be reached; is it running?" });
  }
  if (!answer.ok) throw new Problem(await problemOf(answer));
  return answer;
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { code: "unreadable", detail: `The server answered ${answer.status} ${answer.statusText}` };
  }
}

// An address that a picture or a link can be given, which send no key.
export const addressOf = async (path) => (hasKey() ? URL.createObjectURL(await (await ask(path)).blob()) : path);

const json = async (path, options) => (await ask(path, options)).json();

export const models = async () => (await json(`${API}/models`)).models;
export const methods = async () => (await json(`${API}/methods`)).methods;
export const datasets = async () => (await json(`${API}/datasets`)).datasets;
export const sendDataset = (body) =>
  json(`${API}/datasets`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body });
export const itemsOf = (id) => json(`${pathOf(id)}/items?limit=1`);
export const pathOf = (id) => `${API}/explanations/${id}`;
export const read = (id, signal) => json(pathOf(id), { headers: { accept: "application/json" }, signal });
export const withdraw = (id) => ask(pathOf(id), { method: "DELETE" });

const inputOf = ({ tensor, text, digest }) => (tensor ? { tensor } : text !== undefined ? { text } : { digest });

// Of several inputs files are parts of the form, and all else is within the request.
function severalOf(several) {
  const [form, inputs] = [new FormData(), {}];
  for (const [name, { blob, name: file, ...rest }] of Object.entries(several)) {
    if (blob) form.append(`inputs.${name}`, blob, file);
    else inputs[name] = rest;
  }
  return { form, inputs };
}

// `given` is {digest}, {tensor}, {text}, {several} or {blob, name}; what is asked comes back as results and status documents.
export async function explain(request, given, { wait, signal }) {
  const headers = { accept: "application/json", prefer: `wait=${wait}` };
  const options = { method: "POST", headers, signal };
  if (given?.blob) {
    options.body = new FormData();
    options.body.append("request", JSON.stringify(request));
    options.body.append("input", given.blob, given.name);
  } else if (given?.several && !given.digest) {
    const { form, inputs } = severalOf(given.several);
    form.append("request", JSON.stringify({ ...request, inputs }));
    options.body = form;
  } else {
    headers["content-type"] = "application/json";
    const input = given && inputOf(given);
    options.body = JSON.stringify(input ? { ...request, input } : request);
  }
  const answer = await json(`${API}/explanations`, options);
  return answer.explanations ?? [answer];
}
