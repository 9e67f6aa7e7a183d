// Makes the pages live. Without it they work by links and forms; nothing here is needed for that.
"use strict";

const $ = (id) => document.getElementById(id);
const body = document.body;
const skew = Number(body.dataset.now) - Date.now() / 1000;

// Uptimes go on by themselves: nothing is asked for them.
function uptime(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const days = Math.floor(seconds / 86400);
  const clock = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days ? `${days}d ${clock}` : clock;
}
setInterval(() => {
  if (document.hidden) return;
  const now = Math.floor(Date.now() / 1000 + skew);
  for (const time of document.querySelectorAll("time.uptime")) {
    time.textContent = uptime(Math.max(0, now - Number(time.dataset.since)));
  }
}, 1000);

// What the server sends is its own escaped HTML; it is parsed without running anything.
function parsed(html, inside) {
  const template = document.createElement("template");
  template.innerHTML = inside ? `<table><tbody>${html}</tbody></table>` : html;
  return inside ? template.content.querySelector("tr") : template.content.firstElementChild;
}
function row(name) {
  return document.querySelector(`tr[data-name="${CSS.escape(name)}"]`);
}
// Replaces an element, and leaves the keyboard's focus where it was.
function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const value = focused && (focused.value || focused.getAttribute("href"));
  old.replaceWith(fresh);
  if (!focused) return;
  const again = [...fresh.querySelectorAll("a, button")];
  (again.find((item) => (item.value || item.getAttribute("href")) === value) || again.find((item) => item.tagName === "BUTTON") || again[0])?.focus();
}

// The filter: by text, and by a state that is clicked.
let only = "";
function filter() {
  const words = ($("filter")?.value || "").toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section.group")) {
    let shown = 0;
    for (const tr of section.querySelectorAll("tbody tr")) {
      const text = tr.dataset.name.toLowerCase();
      tr.hidden = !(words.every((word) => text.includes(word)) && (!only || tr.dataset.state === only));
      shown += tr.hidden ? 0 : 1;
    }
    section.hidden = shown === 0;
  }
  for (const count of document.querySelectorAll(".count")) {
    count.setAttribute("aria-pressed", String(count.dataset.only === only));
  }
}
function setUpFilter() {
  const field = $("filter");
  if (!field) return;
  field.hidden = false;
  field.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "Escape" && event.target === field) {
      field.value = "";
      filter();
      field.blur();
    }
  });
}
document.addEventListener("click", (event) => {
  const count = event.target.closest(".count");
  if (!count) return;
  only = only === count.dataset.only ? "" : count.dataset.only;
  filter();
});

// Buttons: sent without leaving the page.
function say(text, bad) {
  const message = $("message");
  message.textContent = text;
  message.classList.toggle("bad", Boolean(bad));
  message.hidden = !text;
}
document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (event.target.id !== "do" || !button) return;
  event.preventDefault();
  const order = button.value;
  const [action, target] = [order.split(" ")[0], order.slice(order.indexOf(" ") + 1)];
  if (target === "*" && action !== "start" && !window.confirm(`${button.title}?`)) return;
  // Not disabled: that would take the keyboard's focus away.
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  try {
    const reply = await fetch("/action", {
      method: "POST",
      headers: { Accept: "application/json", "X-Token": body.dataset.token, "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ do: order }),
    });
    const answer = await reply.json();
    say(answer.message, !answer.ok);
  } catch (error) {
    say(`${order}: no answer (${error.message})`, true);
  } finally {
    button.removeAttribute("aria-disabled");
  }
});

// Live: the server tells what has changed.
function follow() {
  const live = $("live");
  const state = (on) => {
    live.hidden = false;
    live.textContent = on ? "live" : "no connection";
    live.classList.toggle("off", !on);
    body.classList.add("live");
  };
  const events = new EventSource(body.dataset.events);
  events.addEventListener("open", () => state(true));
  events.addEventListener("error", () => state(false));
  events.addEventListener("service", (event) => {
    const { name, html, counts } = JSON.parse(event.data);
    const old = row(name);
    if (old) replace(old, parsed(html, true));
    $("counts").innerHTML = counts;
    filter();
  });
  // Services came or went, or events may have been missed: the whole list again.
  events.addEventListener("list", async () => {
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    $("main").replaceWith(page.getElementById("main"));
    $("counts").innerHTML = page.getElementById("counts").innerHTML;
    filter();
  });
  events.addEventListener("facts", (event) => {
    const { html, title } = JSON.parse(event.data);
    replace($("facts"), parsed(html, false));
    document.title = title;
  });
  events.addEventListener("history", (event) => {
    $("history")?.prepend(parsed(JSON.parse(event.data).html, true));
  });
  events.addEventListener("log", (event) => append(JSON.parse(event.data).text));
  events.addEventListener("memory", (event) => {
    for (const [name, text] of Object.entries(JSON.parse(event.data))) {
      const place = (row(name) || document.querySelector(`#facts[data-name="${CSS.escape(name)}"]`))?.querySelector(".memory");
      if (place) place.textContent = text;
    }
  });
}

// The log's end: it follows as long as it is looked at.
const LONGEST_LOG = 200000;
function append(text) {
  const tail = $("tail");
  if (!tail) return;
  const atEnd = tail.scrollHeight - tail.scrollTop - tail.clientHeight < 40;
  tail.append(text);
  if (tail.textContent.length > LONGEST_LOG) tail.textContent = tail.textContent.slice(-LONGEST_LOG / 2);
  if (atEnd) tail.scrollTop = tail.scrollHeight;
}
if ($("tail")) $("tail").scrollTop = $("tail").scrollHeight;

setUpFilter();
filter();
follow();
