// Images for a message: dropped, pasted or chosen; made small enough to be sent.

const MOST = 4;
const SIDE_PX = 1568;
const AS_IT_IS_BYTES = 400_000;
const KINDS = ["image/png", "image/jpeg"];

/** The images among files, as data: URLs. Throws Error with a reason. */
export async function read(files, already) {
  const images = Array.from(files).filter((file) => file.type.startsWith("image/"));
  if (!images.length) throw new Error("Only images can be sent.");
  if (images.length + already > MOST) throw new Error(`A message has ${MOST} images at most.`);
  return Promise.all(images.map(sendable));
}

async function sendable(file) {
  if (file.size <= AS_IT_IS_BYTES && KINDS.includes(file.type)) return asUrl(file);
  const bitmap = await createImageBitmap(file).catch(() => { throw new Error("That image cannot be read."); });
  const scale = Math.min(1, SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.85);
}

function asUrl(file) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(new Error("That image cannot be read."));
    reader.readAsDataURL(file);
  });
}
