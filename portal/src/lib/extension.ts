// More time for a run: what can be asked for, and what became of asking.

import { ApiError } from "./api";
import { formatDuration, formatMoment } from "./format";

/** The hours that are offered; any number from `least` to `most` can be typed. */
export const presets = [2, 6, 12, 24] as const;
export const least = 1;
export const most = 24;

/** Reads hours as they are typed, with a point or a comma; null if they are not from 1 to 24. */
export function hoursOf(text: string): number | null {
  const typed = text.trim().replace(",", ".");
  if (!/^\d{1,2}(\.\d*)?$/.test(typed)) return null;
  const hours = Number(typed);
  return hours >= least && hours <= most ? hours : null;
}

/** The seconds of some hours, as the server takes them. */
export function secondsOf(hours: number): number {
  return Math.round(hours * 3_600);
}

/** "6 hours", "1 hour", "24 hours"; "1 h 30 min" where they are not whole. */
export function formatHours(seconds: number): string {
  if (seconds % 3_600 !== 0) return formatDuration(seconds * 1_000);
  const hours = seconds / 3_600;
  return `${hours} ${hours === 1 ? "hour" : "hours"}`;
}

/** When a run times out that gets so many hours more; null where its time is not known. */
export function extendedTo(timesOutAt: string | null, hours: number | null): string | null {
  const at = timesOutAt === null ? NaN : Date.parse(timesOutAt);
  return hours === null || Number.isNaN(at) ? null : new Date(at + secondsOf(hours) * 1_000).toISOString();
}

/**
 * Why a run can't be extended any more, in words for the person who asked; null
 * for what may pass, and can be tried again.
 */
export function refusalOf(error: unknown, now: number): { tone: "info" | "warning"; text: string } | null {
  if (!(error instanceof ApiError)) return null;
  const at = (field: string) => {
    const value = error.fields[field];
    return typeof value === "string" ? formatMoment(value, now) : "another time";
  };
  switch (error.code) {
    case "project_not_running":
      return { tone: "info", text: "The run had ended already: there is nothing to extend." };
    case "attempt_differs":
      return { tone: "warning", text: "Nothing was extended: another attempt has begun since. The page shows the project as it is now." };
    case "extension_used":
      return { tone: "warning", text: `Nothing was added: the run had been extended already, which is possible once. It times out at ${at("times_out_at")}.` };
    case "extension_too_late":
      return { tone: "warning", text: `Nothing was added: the run’s time was over at ${at("times_out_at")}. Restart it once it has failed.` };
    case "extension_too_early":
      return { tone: "warning", text: `Nothing was added: the run can be extended from ${at("extendable_at")} on.` };
    default:
      return null;
  }
}
