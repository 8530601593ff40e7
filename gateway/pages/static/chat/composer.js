// The box in which a message is written: text, images, and what it does to those that wait.

import { button, byId, element } from "../dom.js";
import { read } from "./images.js";
import { ON_BUSY } from "./words.js";

/** `send` gets {text, images, onBusy, edits}; `edits`: the turn that is written anew. */
export class Composer {
  constructor(send) {
    Object.assign(this, { onSend: send, images: [], edits: null });
    this.text = byId("text");
    this.busy = byId("busy");
    this.busy.append(...ON_BUSY.map(([value, words]) => element("option", { value }, words)));
    byId("form").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.text.addEventListener("input", () => this.fit());
    this.text.addEventListener("keydown", (event) => this.key(event));
    byId("cancel-edit").addEventListener("click", () => this.write("", []));
    byId("attach").addEventListener("click", () => byId("files").click());
    byId("files").addEventListener("change", (event) => { this.add(event.target.files); event.target.value = ""; });
    this.text.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) { event.preventDefault(); this.add(event.clipboardData.files); }
    });
    this.takeDrops();
    this.fit();
  }

  takeDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const over = (is) => document.body.classList.toggle("dropping", is);
    addEventListener("dragover", (event) => { if (hasFiles(event)) { event.preventDefault(); over(true); } });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      over(false);
      this.add(event.dataTransfer.files);
    });
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.submit(); }
    else if (event.key === "Escape" && this.edits) this.write("", []);
  }

  async add(files) {
    byId("trouble").textContent = "";
    try {
      this.images.push(...await read(files, this.images.length));
    } catch (error) {
      byId("trouble").textContent = error.message;
    }
    this.fit();
    this.text.focus();
  }

  /** Put a text into the box; `edits`: the turn that it is of. */
  write(text, images, edits = null) {
    Object.assign(this, { images: [...images], edits });
    this.text.value = text;
    this.fit();
    this.text.focus();
  }

  get isEmpty() { return !this.text.value && !this.images.length; }

  submit() {
    const text = this.text.value.trim(), { images, edits } = this;
    if (!text || byId("send").disabled) return;
    this.write("", []);
    this.onSend({ text, images, onBusy: this.busy.value, edits });
  }

  /** Show what is in the box; `isBusy`: something is answered or waits. */
  fit(isBusy = this.isBusy) {
    this.isBusy = isBusy;
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight + 2, 200)}px`;
    byId("send").disabled = !this.text.value.trim();
    byId("busy-row").hidden = !isBusy || Boolean(this.edits);
    byId("editing").hidden = !this.edits;
    byId("thumbs").replaceChildren(...this.images.map((url, at) => element("li", {},
      element("img", { src: url, alt: `Image ${at + 1}` }),
      button("×", () => { this.images.splice(at, 1); this.fit(); this.text.focus(); }, { class: "remove", "aria-label": `Remove image ${at + 1}` }))));
  }
}
