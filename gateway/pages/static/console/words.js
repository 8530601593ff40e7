// Numbers, times and sizes as people read them.

const WHY = {
  running: "Running", behind: "Behind another job", slot: "For a slot of its model", server: "Its model's servers do not answer",
  backoff: "Backs off after a failure", wake: "A worker is about to take it", scheduled: "Not due yet",
  done: "Answered", dead: "Dead letter", ended: "Cancelled, merged or erased", lost: "Lost: Redis was emptied",
};

export const why = (state) => WHY[state] ?? state;

export const count = (number) => (number ?? 0).toLocaleString("en");

/** A length of time, such as "3.2 s" or "2 h 5 min". */
export function lasting(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

export const milliseconds = (ms) => (ms === null ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : lasting(ms / 1000));

export function size(bytes) {
  let left = bytes;
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (left < 1024) return `${unit === "B" ? left : left.toFixed(1)} ${unit}`;
    left /= 1024;
  }
  return `${left.toFixed(1)} TB`;
}

export const clock = (ms, second) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second });

export const moment = (ms) => new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
