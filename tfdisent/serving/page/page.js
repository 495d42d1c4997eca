import { loadAndCompile, loadLiteRt, Tensor } from "./runtime/litert.js";

const element = (id) => document.getElementById(id);
const about = JSON.parse(element("about").textContent);
const [height, width, channels] = about.shape;
const readable = about.controls.filter((control) => control.is_read);
const label = (control) => control.name.replaceAll("_", " ");

// --- The model -------------------------------------------------------------------------------------------------------

let model;

/** Runs a signature: {name: [typed array, shape]} to {name: typed array}. LiteRT.js frees no tensor by itself. */
async function ask(signature, inputs) {
  const given = Object.entries(inputs).map(([name, [values, shape]]) => [name, new Tensor(values, shape)]);
  let outputs = {};
  try {
    outputs = await model.run(signature, Object.fromEntries(given));
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.toTypedArray().slice()]));
  } finally {
    for (const [, tensor] of [...given, ...Object.entries(outputs)]) tensor.delete();
  }
}

const imageInput = (image) => [image, [1, height, width, channels]];

/** Natural values by the names of the parts, as inputs of the model. */
function featureInputs(values) {
  return Object.fromEntries(about.controls.map((control) => {
    const numbers = [values[control.name]].flat();
    const whole = control.kind === "choice" || control.kind === "check";
    return [control.input, [whole ? Int32Array.from(numbers) : Float32Array.from(numbers), control.shape]];
  }));
}

/** What the model reads in an image, Uint8Array [H * W * C]: its z1, and natural values by the names of the parts. */
async function encode(image) {
  const outputs = await ask("encode", { image: imageInput(image) });
  const values = Object.fromEntries(readable.map((control) => [control.name, natural(control, outputs[control.input])]));
  return { z1: outputs.z1_mean, values, outputs };
}

/** G(z1, z2) of natural values, Float32Array [H * W * C] in [0, 1]. */
async function decode(z1, values) {
  return (await ask("decode", { z1: [z1, [1, about.z1_width]], ...featureInputs(values) })).image;
}

/** x̂ with natural values by the names of the parts; those that are not named stay as in the image. */
async function control(image, values) {
  const all = { ...(await encode(image)).values, ...values };
  return (await ask("control", { image: imageInput(image), ...featureInputs(all) })).image;
}

/** x̂ with z1 of one image and the features of another. */
async function fuse(image, featureImage) {
  return (await ask("fuse", { image: imageInput(image), feature_image: imageInput(featureImage) })).image;
}

const clip = (value, low, high) => Math.min(Math.max(value, low), high);

/** The natural value of what `encode` reads as a vector. */
function natural(control, vector) {
  if (control.kind === "choice") return vector.indexOf(Math.max(...vector));
  if (control.kind === "check") return vector[0] > 0.5 ? 1 : 0;
  if (control.kind === "color") return Array.from(vector, (channel) => clip(channel, 0, 1));
  let at = 0;
  return control.sliders.map(({ form }) => {
    const value = vector[at++];
    if ("turn" in form) return Math.atan2(vector[at++], value) * form.turn / (2 * Math.PI);
    if ("lowest" in form) return form.lowest + (value + 1) / 2 * (form.highest - form.lowest);
    return "low" in form ? clip(value, form.low, form.high) : value;
  });
}

// --- Images ----------------------------------------------------------------------------------------------------------

const MOST_PIXELS = 2 ** 24;

/** A file as the model takes it, Uint8Array [H * W * C]: turned by EXIF, cropped at its centre, resized as in training. */
async function prepare(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${blob.name ?? "The file"} is no image that this browser reads: take a PNG, a JPEG or a WebP.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const [w, h] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * shrink)));
  const context = new OffscreenCanvas(w, h).getContext("2d");
  context.fillStyle = `rgb(${about.background.join(" ")})`;
  context.fillRect(0, 0, w, h);
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
  const { data } = context.getImageData(0, 0, w, h);
  let image = new Float32Array(w * h * channels);
  for (let i = 0; i < w * h; i++) {
    const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
    if (channels === 3) image.set([red, green, blue], 3 * i);
    else image[i] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16; // the weights of Pillow
  }
  const ratio = width / height;
  const [cropWidth, cropHeight] = w / h >= ratio ? [ratio * h, h] : [w, w / ratio];
  image = resized(image, h, w, width, (w - cropWidth) / 2, cropWidth);
  image = transposed(resized(transposed(image, h, width), width, h, height, (h - cropHeight) / 2, cropHeight), width, height);
  return Uint8Array.from(image);
}

/** An image [h * w * C] with `count` columns, of the part [from, from + size) of its width; bicubic, as Pillow does it. */
function resized(image, h, w, count, from, size) {
  const scale = size / count;
  const stretch = Math.max(scale, 1);
  const result = new Float32Array(h * count * channels);
  for (let x = 0; x < count; x++) {
    const center = from + (x + 0.5) * scale;
    const first = Math.max(Math.trunc(center - 2 * stretch + 0.5), 0);
    const last = Math.min(Math.trunc(center + 2 * stretch + 0.5), w);
    const weights = [];
    for (let i = first; i < last; i++) weights.push(cubic((i - center + 0.5) / stretch));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let y = 0; y < h; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        weights.forEach((weight, i) => { sum += weight * image[(y * w + first + i) * channels + c]; });
        result[(y * count + x) * channels + c] = clip(Math.floor(sum / total + 0.5), 0, 255);
      }
    }
  }
  return result;
}

function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** An image [h * w * C] as [w * h * C]. */
function transposed(image, h, w) {
  const result = new Float32Array(image.length);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      for (let c = 0; c < channels; c++) result[(x * h + y) * channels + c] = image[(y * w + x) * channels + c];
    }
  }
  return result;
}

const asBytes = (image) => Uint8Array.from(image, (value) => Math.round(255 * value));

function paint(canvas, image, words) {
  [canvas.width, canvas.height] = [width, height];
  const data = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = image[channels * i + (channels === 3 ? c : 0)];
    data.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
  canvas.setAttribute("aria-label", words);
}

// --- Widgets ---------------------------------------------------------------------------------------------------------

const hex = (color) => "#" + color.map((c) => Math.round(255 * c).toString(16).padStart(2, "0")).join("");
const rounded = ({ step, unit }, number) => number.toFixed(Math.max(0, -Math.floor(Math.log10(step)))) + unit;

/** A natural value in words: "blond", "yes", "#ff0000", "30°". */
function inWords(control, value) {
  if (control.kind === "choice") return control.choices[value];
  if (control.kind === "check") return value ? "yes" : "no";
  if (control.kind === "color") return hex(value);
  return control.sliders.map((slider, i) => rounded(slider, value[i] * slider.scale)).join(", ");
}

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The widget of a part: its elements, and functions that give and take its natural value. */
const widgets = {
  choice({ choices }, id) {
    const select = make("select", { id }, ...choices.map((name, i) => make("option", { value: i }, name)));
    return { inputs: [select], get: () => select.selectedIndex, set: (value) => { select.selectedIndex = value; } };
  },
  check(_, id) {
    const box = make("input", { id, type: "checkbox" });
    return { inputs: [box], get: () => Number(box.checked), set: (value) => { box.checked = value; } };
  },
  color(_, id) {
    const input = make("input", { id, type: "color" });
    const get = () => [1, 3, 5].map((at) => parseInt(input.value.slice(at, at + 2), 16) / 255);
    return { inputs: [input], get, set: (value) => { input.value = hex(value); } };
  },
  numbers({ sliders }, id) {
    const inputs = sliders.map(({ low, high, step }, i) =>
      make("input", { id: i ? `${id}-${i}` : id, type: "range", min: low, max: high, step }));
    const outputs = inputs.map(() => make("span", { className: "value", ariaHidden: "true" }));
    const tell = () => inputs.forEach((input, i) => {
      input.ariaValueText = outputs[i].textContent = rounded(sliders[i], Number(input.value));
    });
    inputs.forEach((input) => input.addEventListener("input", tell));
    const set = (value) => {
      inputs.forEach((input, i) => { input.value = value[i] * sliders[i].scale; });
      tell();
    };
    return { inputs, outputs, set, get: () => inputs.map((input, i) => Number(input.value) / sliders[i].scale) };
  },
};

/** A row of the page for a part: its name, its widget, and a box that keeps it as in the source. */
function addRow(control, number) {
  const id = `feature-${number}`;
  const { inputs, outputs = [], get, set } = widgets[control.kind](control, id);
  const several = inputs.length > 1;
  const widget = make("div", { className: "widget" });
  inputs.forEach((input, i) => {
    const name = control.sliders[i]?.label;
    widget.append(control.kind !== "numbers" ? input : make("div", { className: "number" },
      ...(several ? [make("label", { htmlFor: input.id }, name)] : []), input, outputs[i]));
  });
  const follow = make("input", { type: "checkbox", id: `${id}-follow`, checked: control.is_read });
  follow.setAttribute("aria-label", `${label(control)} as in the source`);
  const name = several ? make("span", { className: "name", id: `${id}-name` }, label(control))
    : make("label", { className: "name", htmlFor: id }, label(control));
  const row = make("div", { className: `control ${control.kind}` }, name, widget);
  if (several) {
    row.setAttribute("role", "group");
    row.setAttribute("aria-labelledby", name.id);
  }
  if (control.is_read) row.append(make("label", { className: "follow" }, follow, "as in the source"));
  inputs.forEach((input) => input.addEventListener("input", () => { follow.checked = false; update(); }));
  follow.addEventListener("change", update);
  element("controls").append(row);
  set({ choice: 0, check: 0, color: [0.5, 0.5, 0.5] }[control.kind]
    ?? control.sliders.map(({ low, high, scale }) => (low + high) / 2 / scale));
  return { control, follow, get, set };
}

// --- What the page shows ---------------------------------------------------------------------------------------------

let source; // {z1, values}: of the source, natural values by the names of the parts
let rows = [];
let changes = 0;
let drawing = false;

function say(words, bad = false) {
  element("status").textContent = words;
  element("status").classList.toggle("bad", bad);
}

/** Draws the fusion, and again if something has changed meanwhile. */
async function update() {
  changes++;
  if (drawing || !source) return;
  drawing = true;
  begin();
  try {
    for (let drawn = 0; drawn !== changes;) {
      drawn = changes;
      const image = await draw();
      await new Promise((resolve) => setTimeout(resolve)); // the browser shows it, and takes what a person does meanwhile
      if (drawn === changes) await read(image);
    }
  } catch (error) {
    say(error.message, true);
  } finally {
    drawing = false;
    end();
  }
}

let running = 0;
const begin = () => { running++; document.body.dataset.state = "busy"; };
const end = () => { if (!--running) document.body.dataset.state = "ready"; };

const chosen = () => Object.fromEntries(rows.map(({ control, get }) => [control.name, get()]));

async function draw() {
  for (const { control, follow, set } of rows) if (follow.checked) set(source.values[control.name]);
  const followed = rows.filter(({ follow }) => follow.checked).map(({ control }) => control.name);
  const values = { ...chosen(), ...Object.fromEntries(followed.map((name) => [name, source.values[name]])) };
  const image = asBytes(await decode(source.z1, values));
  const words = about.controls.map((control) => `${label(control)} ${inWords(control, values[control.name])}`);
  paint(element("fusion"), image, `Fusion: ${words.join(", ")}`);
  return image;
}

/** Tells what the model reads in the fusion. */
async function read(image) {
  if (!readable.length) return;
  const { values } = await encode(image);
  const words = readable.map((control) => `${label(control)} ${inWords(control, values[control.name])}`);
  element("reading").textContent = `What the model reads in the fusion: ${words.join(", ")}.`;
}

let last = Promise.resolve();

/** Does something once all before it is done, and draws; what goes wrong is told in a sentence. */
function attempt(action) {
  begin();
  last = last.then(async () => {
    try {
      say("");
      await action();
      await update();
    } catch (error) {
      say(error.message, true);
    } finally {
      end();
    }
  });
  return last;
}

async function takeSource(blob, words) {
  const image = await prepare(blob);
  source = await encode(image);
  paint(element("source"), image, words);
}

/** Takes all features that the model reads in another image. */
async function copyFrom(blob) {
  const { values } = await encode(await prepare(blob));
  for (const { control, follow, set } of rows.filter(({ control }) => control.is_read)) {
    follow.checked = false;
    set(values[control.name]);
  }
}

const fetched = async (file) => (await fetch(file)).blob();

/** Numbers of the normal distribution that follow a seed. */
function noise(seed, count) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

async function drawSource() {
  const seed = Number(element("seed").value);
  const z1 = noise(seed, about.z1_width);
  const values = chosen();
  const image = asBytes(await decode(z1, values));
  source = { z1, values };
  paint(element("source"), image, `Source: drawn with the seed ${seed}`);
  document.querySelectorAll("#examples input").forEach((input) => { input.checked = false; });
}

function connect() {
  rows = about.controls.map(addRow);
  about.examples.forEach((file, i) => {
    const input = make("input", { type: "radio", name: "example", checked: i === 0 });
    input.addEventListener("change", () => attempt(async () => takeSource(await fetched(file), `Source: example ${i + 1}`)));
    element("examples").append(make("label", {}, input, make("img", { src: file, alt: "" }), make("span", {}, `${i + 1}`)));
    input.setAttribute("aria-label", `Example ${i + 1}`);
    element("copy").append(make("option", { value: file }, `Example ${i + 1}`));
  });
  element("copy").prepend(make("option", { value: "", selected: true }, "choose an example"));
  element("copying").hidden = element("reset").hidden = !readable.length;
  element("copy").addEventListener("change", ({ target }) => target.value && attempt(async () => {
    await copyFrom(await fetched(target.value));
    element("donor").value = "";
  }));
  element("donor").addEventListener("change", ({ target }) => target.files[0] && attempt(async () => {
    await copyFrom(target.files[0]);
    element("copy").value = "";
  }));
  element("file").addEventListener("change", ({ target }) => target.files[0] && attempt(async () => {
    await takeSource(target.files[0], `Source: ${target.files[0].name}`);
    document.querySelectorAll("#examples input").forEach((input) => { input.checked = false; });
  }));
  element("draw").addEventListener("click", () => attempt(drawSource));
  element("reset").addEventListener("click", () => {
    for (const { control, follow } of rows) follow.checked = control.is_read;
    update();
  });
  element("save").addEventListener("click", () => element("fusion").toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: `${about.name}.png` });
    link.click();
    URL.revokeObjectURL(link.href);
  }));
}

connect();
try {
  await loadLiteRt("./runtime/");
  model = await loadAndCompile(about.model, { accelerator: "wasm" });
  window.tfdisent = { about, encode, decode, control, fuse, prepare };
  if (about.examples.length) await attempt(async () => takeSource(await fetched(about.examples[0]), "Source: example 1"));
} catch (error) {
  say(`The model cannot be loaded: ${error.message}`, true);
}
