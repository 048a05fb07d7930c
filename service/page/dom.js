// Elements, made and found.

export const byId = (id) => document.getElementById(id);

// el("p", {class: "faint", onclick: f, hidden: true}, "text", child): `on...` is a listener, true a bare attribute.
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function show(id, text) {
  const place = byId(id);
  place.textContent = text ?? "";
  place.hidden = !text;
}

const LETTERS = /\b(cam|lime|lrp|mc|rise|ssa|tcav)\b/g;
// As their papers write them.
const NAMES = {
  deconvnet: "DeconvNet",
  deep_dream: "DeepDream",
  deep_lift: "DeepLIFT",
  grad_cam: "Grad-CAM",
  grad_cam_plus_plus: "Grad-CAM++",
  guided_grad_cam: "Guided Grad-CAM",
  kernel_shap: "KernelSHAP",
  layer_cam: "LayerCAM",
  pattern_attribution: "PatternAttribution",
  pattern_net: "PatternNet",
  score_cam: "Score-CAM",
  smooth_grad: "SmoothGrad",
  spray: "SpRAy",
};

export function titled(name) {
  if (NAMES[name]) return NAMES[name];
  const words = name.replaceAll("_", " ").replace(LETTERS, (word) => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// A canvas as a file, at once: toBlob waits until the browser has nothing else to do, up to a second.
export function pngOf(canvas) {
  const letters = atob(canvas.toDataURL("image/png").split(",")[1]);
  return new Blob([Uint8Array.from(letters, (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e").replaceAll("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
