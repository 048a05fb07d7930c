// The command and the program that compute the same explanation.

import { hasKey } from "../api.js";

const address = () => `${location.origin}/api/v1/explanations`;
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// A target as a request names it; a result tells it with its kind.
function targetOf({ target }) {
  if (typeof target !== "object" || !target.kind) return target;
  const { kind, label, ...rest } = target;
  if (kind === "mask") return { class: rest.index, mask: rest.mask };
  return kind === "class" ? rest.index : kind === "value" ? "value" : rest;
}

function requestOf(item) {
  const request = { model: item.model.name, method: item.method, target: targetOf(item) };
  if (!item.result.input) return { request };
  const { blob, name, tensor, text, several } = item.input ?? {};
  if (blob) return { request, files: { input: name } };
  if (several) return severalOf(request, several);
  return { request: { ...request, input: tensor ? { tensor } : text !== undefined ? { text } : { digest: item.result.input } } };
}

function severalOf(request, several) {
  const [files, inputs] = [{}, {}];
  for (const [key, { blob, name, ...rest }] of Object.entries(several)) {
    if (blob) files[`inputs.${key}`] = name;
    else inputs[key] = rest;
  }
  return { request: { ...request, inputs }, files };
}

const wanted = ({ result }) => (result.links.npy ? "application/x-npy" : "application/json");

export function curlOf(item) {
  const { request, files = {} } = requestOf(item);
  const picture = Boolean(item.result.links.heatmap);
  const said = JSON.stringify(request);
  const parts = Object.entries(files).map(([part, file]) => `-F ${quoted(`${part}=@${file}`)}`);
  const body = parts.length
    ? `${parts.join(" ")} -F ${quoted(`request=${said}`)}`
    : `-H 'Content-Type: application/json' -d ${quoted(said)}`;
  const accept = picture ? "image/png" : "application/json";
  const key = hasKey() ? `-H "Authorization: Bearer $WHENCE_KEY" ` : "";
  return `curl ${key}-H 'Prefer: wait=60' -H 'Accept: ${accept}' ${body} \\\n  ${address()} -o explanation.${picture ? "png" : "json"}`;
}

export function pythonOf(item) {
  const { request, files = {} } = requestOf(item);
  const numbers = wanted(item) === "application/x-npy";
  const opened = Object.entries(files).map(([part, file]) => `${literal(part)}: open(${literal(file)}, "rb")`);
  const body = opened.length
    ? `data={"request": json.dumps(request)},\n    files={${opened.join(", ")}},`
    : "json=request,";
  const key = hasKey() ? `, "Authorization": "Bearer " + os.environ["WHENCE_KEY"]` : "";
  return `${numbers ? "import io\n" : ""}${opened.length ? "import json\n" : ""}${key ? "import os\n" : ""}
import httpx
${numbers ? "import numpy as np\n" : ""}
request = ${literal(request)}
answer = httpx.post(
    "${address()}",
    ${body}
    headers={"Accept": "${wanted(item)}", "Prefer": "wait=60"${key}},
    timeout=90,
)
answer.raise_for_status()
${numbers ? "explanation = np.load(io.BytesIO(answer.content))" : "explanation = answer.json()"}
`;
}

function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, one]) => `${literal(key)}: ${literal(one)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}
