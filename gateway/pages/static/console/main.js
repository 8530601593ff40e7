// The operator's console: one request every two seconds, and none while nobody looks.

import { call, hasKey, keepKey } from "../api.js";
import { button, byId } from "../dom.js";
import { asksForKey } from "../key.js";
import { draw } from "./charts.js";
import { allow, onDone, show } from "./dialogs.js";
import { sections, slowTiles } from "./sections.js";

const EVERY_MS = 2000, LOST_MS = 5000;
/** What changes slowly is asked for with each so many requests. */
const SLOW_EACH = 8;

const asked = { jobs: "", letters: "", hours: 6 };
let ticks = 0, timer = null, isAsking = false, wantsMore = false;
const parts = sections((place) => { asked.jobs = place; again(); }, (place) => { asked.letters = place; again(); });

/** Ask now, for all of it. */
function again() {
  ticks = 0;
  if (isAsking) wantsMore = true;
  else tick();
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden) return link("wait", "Paused");
  isAsking = true;
  let pause = EVERY_MS;
  try {
    await ask(ticks++ % SLOW_EACH === 0);
    link("live", "Live");
    byId("trouble").textContent = "";
  } catch (error) {
    pause = LOST_MS;
    ticks = 0;
    lost(error);
  }
  isAsking = false;
  const wanted = wantsMore;
  wantsMore = false;
  if (wanted) tick();
  else timer = setTimeout(tick, pause);
}

async function ask(isSlow) {
  const query = new URLSearchParams({ jobs: asked.jobs });
  if (isSlow) for (const [name, value] of Object.entries({ slow: true, letters: asked.letters, hours: asked.hours })) query.set(name, value);
  const found = await call(`v1/console?${query}`);
  byId("forget-key").hidden = !hasKey();
  allow(found.may);
  parts.now(found);
  if (!found.slow) return;
  parts.slow(found.slow);
  slowTiles(found.slow);
  draw(byId("charts"), found.slow.series);
}

function link(state, words) {
  const shown = byId("link");
  shown.dataset.state = state;
  if (shown.textContent !== words) shown.textContent = words;
}

function lost(error) {
  link("lost", "No answer");
  const trouble = byId("trouble");
  trouble.textContent = error.message;
  if (error.status === 403) trouble.append(" ", button("Another key", () => { keepKey("none"); again(); }));
}

asksForKey("The console needs a key with the scope operate.");
onDone(again);
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  show(byId("job-id").value.trim());
});
byId("hours").addEventListener("change", (event) => { asked.hours = Number(event.target.value); again(); });
byId("forget-key").addEventListener("click", () => { keepKey(null); location.reload(); });
document.addEventListener("visibilitychange", () => (document.hidden ? link("wait", "Paused") : again()));
tick();
