// Times, durations and sizes as people read them.

const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minuteTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayOnly = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayTime = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const fullTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** "12:03:10" */
export function formatClock(ms: number): string {
  return clockTime.format(ms);
}

/** "today, 12:03:10", "24 Nov, 12:03" for another day of this year, else with the year. */
export function formatTime(iso: string, now: number): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return `today, ${clockTime.format(at)}`;
  if (at.getFullYear() === today.getFullYear()) return dayTime.format(at);
  return fullTime.format(at);
}

/** "12:03 today", "12:03 tomorrow", "12:03 on 24 Nov": within a sentence, after "at" or "by". */
export function formatMoment(iso: string, now: number): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const day = new Date(now);
  const time = minuteTime.format(at);
  if (at.toDateString() === day.toDateString()) return `${time} today`;
  day.setDate(day.getDate() + 1);
  if (at.toDateString() === day.toDateString()) return `${time} tomorrow`;
  return `${time} on ${dayOnly.format(at)}`;
}

/** "24 November 2026 at 12:03:10": what a tooltip says. */
export function formatFullTime(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : fullTime.format(at);
}

/** "3 h 5 min", "4 min 10 s", "8 s", "less than 1 s": the two largest units. */
export function formatDuration(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const units: [number, string][] = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3_600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = units.findIndex(([n]) => n > 0);
  if (first < 0) return "less than 1 s";
  return units
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(" ");
}

/** The milliseconds between two stamps; null where one is not known. */
export function between(from: string | null, to: string | number | null): number | null {
  if (from === null || to === null) return null;
  const end = typeof to === "number" ? to : Date.parse(to);
  const length = end - Date.parse(from);
  return Number.isNaN(length) ? null : Math.max(0, length);
}

/** "48.2 kB" */
export function formatSize(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let n = bytes;
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[unit] ?? ""}`;
}

/** "4:07", of whole seconds: a countdown. */
export function formatCountdown(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}
