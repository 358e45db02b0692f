// The page that lists the operations of openapi.json and sends a request. Nothing is kept, nothing is loaded from elsewhere.
"use strict";

const make = (name, properties, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const addressOf = (path, form) => {
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input")) {
    if (path.includes(`{${input.name}}`)) path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
};

const send = async (address, output) => {
  const token = document.getElementById("token").value;
  output.textContent = "...";
  try {
    const answer = await fetch(address, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    const text = await answer.text();
    let body = text;
    try { body = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
    output.textContent = `GET ${address}\n${answer.status} ${answer.statusText}\n\n${body}`;
  } catch (error) {
    output.textContent = `GET ${address}\n${error}`;
  }
};

const show = (path, operation) => {
  const output = make("pre", { hidden: true });
  const form = make("form", {});
  for (const parameter of operation.parameters ?? []) {
    const input = make("input", { name: parameter.name, required: parameter.required ?? false });
    form.append(make("label", {}, make("code", { textContent: parameter.name }), input,
      make("small", { textContent: parameter.description ?? "" })));
  }
  form.append(make("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    send(addressOf(path, form), output);
  });
  return make("details", {}, make("summary", {}, make("code", { textContent: path }), " ",
    make("span", { textContent: operation.summary })), make("p", { textContent: operation.description ?? "" }), form, output);
};

const start = async () => {
  const specification = await (await fetch("openapi.json")).json();
  const main = document.getElementById("operations");
  const groups = new Map();
  for (const [path, item] of Object.entries(specification.paths)) {
    const tag = item.get.tags[0];
    if (!groups.has(tag)) groups.set(tag, make("section", {}, make("h2", { textContent: tag })));
    groups.get(tag).append(show(path, item.get));
  }
  main.replaceChildren(...groups.values());
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const entry of main.querySelectorAll("details")) {
      entry.hidden = !entry.querySelector("summary").textContent.toLowerCase().includes(wanted);
    }
  });
};

start();
